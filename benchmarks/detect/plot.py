"""F1 and delay by size of change, ours against the peers, as an SVG of stable bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detect.peers import OFFLINE
from benchmarks.detect.splices import BANDS, BandScore
from benchmarks.detect.tables import median_of

__all__ = ["draw_splices"]

SIZE_INCHES = (10.0, 4.2)
COLOURS = ("#111111", "#1b6ca8", "#c8553d", "#e0a458", "#588157", "#8fb996", "#7b4b94")
Scores = Mapping[str, Mapping[tuple[float, float], BandScore]]


def draw_splices(scores: Scores, path: Path) -> None:
    """Two panels: F1, and the median delay of what was found. The first detector is drawn strongest."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import

    with mpl.rc_context({"svg.hashsalt": "modekeeper", "svg.fonttype": "path", "font.size": 9}):
        _draw(scores, path)


def _draw(scores: Scores, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (name, bands) in enumerate(scores.items()):
        style = {"color": COLOURS[place % len(COLOURS)], "linewidth": 2.6 if place == 0 else 1.2, "marker": "o"}
        style |= {"markersize": 5 if place == 0 else 3, "label": name, "zorder": 3 if place == 0 else 2}
        left.plot(range(len(BANDS)), [bands[band].f1 for band in BANDS], **style)
        if name not in OFFLINE:
            right.plot(range(len(BANDS)), [median_of(bands[band].delays) for band in BANDS], **style)
    _label(left, "F1", "of changes spliced into real runs")
    _label(right, "median delay (samples)", "of the changes found, online detectors")
    left.set_ylim(0.0, 1.03)
    right.set_ylim(bottom=0.0)
    left.legend(loc="lower right", fontsize=7.5, frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _label(axes: Any, name: str, title: str) -> None:
    labels: Sequence[str] = [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in BANDS]
    axes.set_xticks(range(len(BANDS)), labels)
    axes.set_xlabel("size of the change")
    axes.set_ylabel(name)
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
