"""A scene drawn with matplotlib. Importing this module imports matplotlib."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib import dates, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path

from modekeeper.model.mode import Mode
from modekeeper.reports.figure.labels import PlacedLabel, placed
from modekeeper.reports.figure.palette import HATCHES, LIGHT, MODE_INK, mode_role, tone_role
from modekeeper.reports.figure.ruler import Axis
from modekeeper.reports.figure.scene import ActionMark, Scene, Tone

__all__ = ["drawing"]

_LEFT_IN, _RIGHT_IN, _EDGE_IN = 0.75, 0.2, 0.2
_ROW_IN = 0.21
_LINE_IN = 0.19
_TITLE_IN = 0.38
_CURVE_IN = 2.9
_MODES_IN = 0.26
_GAP_IN = 0.09
_AXIS_IN = 0.52
_SIGN_IN = 0.1
"""From the sign of a change to its text."""
_TINY_PT, _SMALL_PT, _TEXT_PT, _TITLE_PT = 7.0, 8.0, 9.0, 11.0
_POINTS_PER_IN = 72.0
_MOST_ROWS = 5
_ROOMY_IN = 8.0
"""Wider pictures have room for longer lines, more ticks and a legend in one row."""

_IN_FRONT = (Tone.NEUTRAL, Tone.BETTER, Tone.WORSE, Tone.STRAGGLER)
"""Of findings with one onset, the later of these is drawn over the others."""

_BAND_OPACITY, _TINT_OPACITY = 0.32, 0.13
_STYLES: dict[Tone, Literal["-", "--", ":", "-."]] = {
    Tone.WORSE: "-",
    Tone.BETTER: "--",
    Tone.NEUTRAL: ":",
    Tone.STRAGGLER: "-.",
}
_NAMES = {
    Tone.WORSE: "for the worse",
    Tone.BETTER: "for the better",
    Tone.NEUTRAL: "other finding",
    Tone.STRAGGLER: "straggler",
}


def drawing(view: Scene, width_in: float, *, titled: bool = True) -> Figure:
    """``view`` as a figure ``width_in`` inches wide, and as high as what is in it needs."""
    return _Drawing(view, width_in, titled=titled).figure


@dataclass(frozen=True, slots=True)
class _Strip:
    """A horizontal part of the picture: inches from its top, and height."""

    top: float
    height: float


class _Drawing:
    """One figure, laid out in inches from the top: title, labels, curve, modes, changes, axis, legend, notes."""

    def __init__(self, view: Scene, width_in: float, *, titled: bool) -> None:
        self._scene = view
        self._width_in = width_in
        self._plot_in = width_in - _LEFT_IN - _RIGHT_IN
        self._roomy = width_in >= _ROOMY_IN
        lines = _wrapped(view.verdict, _TEXT_PT, width_in - 2 * _EDGE_IN, 2 if self._roomy else 4)
        notes = [line for note in view.notes for line in _wrapped(note, _SMALL_PT, self._plot_in, 2)]
        signs = _signs(view)
        columns = 9 if self._roomy else 3
        self._labels = self._label_rows()
        self._changes = self._change_rows()
        heights = {
            "title": _TITLE_IN + _LINE_IN * len(lines) + 0.1 if titled else 0.1,
            "labels": _ROW_IN * _rows(self._labels),
            "curve": _CURVE_IN,
            "modes": _GAP_IN + _MODES_IN if view.bands else 0.0,
            "changes": _GAP_IN + _ROW_IN * _rows(self._changes) + 0.08 if self._changes else 0.0,
            "axis": _AXIS_IN,
            "legend": 0.17 * -(-len(signs) // columns) + 0.1,
            "notes": 0.17 * len(notes),
        }
        self._height_in = sum(heights.values()) + 0.05
        self._strips = _stacked(heights)
        self.figure = Figure(figsize=(width_in, self._height_in), facecolor=LIGHT["paper"])
        if titled:
            self._draw_title(lines)
        curve = self._axes(self._strips["curve"])
        self._draw_axis(self._draw_lower(curve))
        self._draw_curve(curve)
        self._draw_findings(curve)
        self._draw_legend(signs, columns)
        left = _LEFT_IN if self._roomy else _EDGE_IN
        for number, note in enumerate(notes):
            self._write(note, left, self._strips["notes"].top + 0.17 * number, _SMALL_PT, va="top")

    def _label_rows(self) -> tuple[PlacedLabel, ...]:
        """Rows of the findings' labels, counted from the curve upwards."""
        # A label stands right of its line, or left of it near the right edge. Taken in this order, from the
        # lowest row up, hardly a label lies across the line that leads to a higher one.
        right, left = [], []
        for number, mark in enumerate(self._scene.findings):
            x, width = self._inches(mark.x), min(_width(mark.label, _SMALL_PT) + 0.1, self._plot_in)
            if mark.label and x + width <= self._plot_in:
                right.append((number, x, width))
            elif mark.label:
                left.append((number, max(x - width, 0.0), width))
        boxes = [*left, *right[::-1]]
        rows = placed([box[1] for box in boxes], [box[2] for box in boxes], _MOST_ROWS, 0.08)
        return tuple(PlacedLabel(boxes[row.number][0], row.left, row.row) for row in rows)

    def _change_rows(self) -> tuple[PlacedLabel, ...]:
        """Rows of the changes, sign and text together."""
        at = [self._inches(mark.x) for mark in self._scene.actions]
        texts = [self._beside(mark) for mark in self._scene.actions]
        widths = [_width(text, _SMALL_PT) + 2 * _SIGN_IN for text, _ in texts]
        lefts = [
            x - _SIGN_IN if after else x + _SIGN_IN - width
            for x, width, (_, after) in zip(at, widths, texts, strict=True)
        ]
        return placed(lefts, widths, _MOST_ROWS, 0.1)

    def _beside(self, mark: ActionMark) -> tuple[str, bool]:
        """The text of a change, cut to the roomier side of its sign, and whether that is the right side."""
        before, after = self._inches(mark.x), self._plot_in - self._inches(mark.x)
        right = _width(mark.label, _SMALL_PT) + _SIGN_IN <= after or after >= before
        return _fitted(mark.label, _SMALL_PT, (after if right else before) - _SIGN_IN), right

    def _from_top(self, inches: float) -> float:
        return 1.0 - inches / self._height_in

    def _inches(self, x: float) -> float:
        ruler = self._scene.ruler
        return (x - ruler.start) / (ruler.stop - ruler.start) * self._plot_in

    def _write(self, text: str, left_in: float, top_in: float, size_pt: float, **options: Any) -> None:
        self.figure.text(
            left_in / self._width_in, self._from_top(top_in), text, size=size_pt, color=LIGHT["ink"], **options
        )

    def _axes(self, strip: _Strip) -> Axes:
        bottom = self._from_top(strip.top + strip.height)
        width, height = self._plot_in / self._width_in, strip.height / self._height_in
        axes = self.figure.add_axes((_LEFT_IN / self._width_in, bottom, width, height), facecolor=LIGHT["paper"])
        axes.set_xlim(self._scene.ruler.start, self._scene.ruler.stop)
        axes.tick_params(colors=LIGHT["ink"], labelsize=_SMALL_PT, length=3, color=LIGHT["frame"])
        axes.tick_params(axis="x", labelbottom=False, bottom=False)
        for side, spine in axes.spines.items():
            spine.set_color(LIGHT["frame"])
            spine.set_visible(side in {"left", "bottom"})
        return axes

    def _draw_title(self, lines: Sequence[str]) -> None:
        title = _fitted(self._scene.title, _TITLE_PT, self._width_in - 2 * _EDGE_IN, bold=True)
        self._write(title, _EDGE_IN, 0.12, _TITLE_PT, weight="bold", va="top")
        for number, line in enumerate(lines):
            self._write(line, _EDGE_IN, _TITLE_IN + _LINE_IN * number, _TEXT_PT, va="top")

    def _draw_curve(self, axes: Axes) -> None:
        series = self._scene.series
        for band in self._scene.bands:
            if band.mode is not Mode.NORMAL:
                colour = LIGHT[mode_role(band.mode)]
                axes.axvspan(band.start, band.stop, color=colour, alpha=_TINT_OPACITY, linewidth=0)
        if not series.label:
            axes.set_yticks([])
            axes.text(
                0.5, 0.5, "no series to draw", transform=axes.transAxes, ha="center", size=_TEXT_PT,
                color=LIGHT["ink"],
            )  # fmt: skip
            return
        _set_scale(axes, series.bottom, series.top, log=series.log)
        if series.banded:
            axes.fill_between(
                series.x, _gaps(series.low), _gaps(series.high), color=LIGHT["curve"], alpha=_BAND_OPACITY,
                linewidth=0,
            )  # fmt: skip
        lone = "o" if len(series.x) == 1 else ""
        axes.plot(series.x, _gaps(series.mean), color=LIGHT["curve"], linewidth=1.1, marker=lone)
        axes.grid(visible=True, axis="y", color=LIGHT["grid"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_ylabel(series.label, size=_TEXT_PT, color=LIGHT["ink"])
        self._draw_spikes(axes)

    def _draw_spikes(self, axes: Axes) -> None:
        series, edge = self._scene.series, axes.get_xaxis_transform()
        for above, sign, height in ((True, "^", 0.985), (False, "v", 0.015)):
            x = [spike.x for spike in series.spikes if spike.above is above]
            axes.plot(x, [height] * len(x), sign, transform=edge, color=LIGHT["curve"], markersize=4, clip_on=False)

    def _draw_findings(self, axes: Axes) -> None:
        view, top = self._scene, self._strips["curve"].top
        if view.bursts:
            axes.plot(
                view.bursts, [0.025] * len(view.bursts), "|", transform=axes.get_xaxis_transform(),
                color=LIGHT["burst"], markersize=9, markeredgewidth=1.0, clip_on=False,
            )  # fmt: skip
        for mark in sorted(view.findings, key=lambda mark: _IN_FRONT.index(mark.tone)):
            colour = LIGHT[tone_role(mark.tone)]
            axes.axvline(mark.x, color=colour, linewidth=1.3, linestyle=_STYLES[mark.tone])
            axes.axvline(mark.decided_x, color=colour, linewidth=0.8, linestyle=":", alpha=0.8)
        for row in self._labels:
            mark = view.findings[row.number]
            x = (_LEFT_IN + self._inches(mark.x)) / self._width_in
            ends = self._from_top(top), self._from_top(top - _ROW_IN * (row.row + 1) + 0.02)
            colour = LIGHT[tone_role(mark.tone)]
            self.figure.add_artist(Line2D((x, x), ends, color=colour, linewidth=1.3))
        for row in self._labels:
            self._write(
                _fitted(view.findings[row.number].label, _SMALL_PT, self._plot_in - 0.06),
                _LEFT_IN + row.left + 0.05, top - _ROW_IN * row.row - 0.055, _SMALL_PT, va="bottom",
                bbox={"facecolor": LIGHT["paper"], "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip

    def _draw_lower(self, curve: Axes) -> Axes:
        """The strips under the curve; gives the lowest axes there are."""
        lowest = curve
        for name, draw in (("modes", self._draw_modes), ("changes", self._draw_changes)):
            strip = self._strips[name]
            if strip.height:
                lowest = self._axes(_Strip(strip.top + _GAP_IN, strip.height - _GAP_IN))
                lowest.set_yticks([])
                draw(lowest)
        return lowest

    def _draw_modes(self, axes: Axes) -> None:
        axes.set_ylim(0, 1)
        for band in self._scene.bands:
            colour = LIGHT[mode_role(band.mode)]
            axes.axvspan(
                band.start, band.stop, facecolor=colour, edgecolor=LIGHT["paper"], linewidth=0.0,
                hatch=HATCHES[band.mode],
            )  # fmt: skip
            room = self._inches(band.stop) - self._inches(band.start) - 0.1
            names = (band.mode.value, band.mode.value[0])
            name = next((n for n in names if _width(n, _TINY_PT) <= room), "")
            if name:
                axes.text(
                    (band.start + band.stop) / 2, 0.46, name, ha="center", va="center", size=_TINY_PT,
                    color=MODE_INK, bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip

    def _draw_changes(self, axes: Axes) -> None:
        axes.set_ylim(_rows(self._changes), 0)
        ruler = self._scene.ruler
        text_gap = _SIGN_IN / self._plot_in * (ruler.stop - ruler.start)
        for row in self._changes:
            mark = self._scene.actions[row.number]
            text, right = self._beside(mark)
            height = row.row + 0.5
            fill = "none" if mark.held_back else LIGHT["ink"]
            axes.plot(
                [mark.x], [height], "^", markersize=6, markeredgecolor=LIGHT["ink"], markerfacecolor=fill,
                clip_on=False, zorder=3,
            )  # fmt: skip
            axes.text(
                mark.x + (text_gap if right else -text_gap), height, text, size=_SMALL_PT, color=LIGHT["ink"],
                ha="left" if right else "right", va="center",
            )  # fmt: skip

    def _draw_axis(self, axes: Axes) -> None:
        axis = self._scene.ruler.axis
        axes.tick_params(axis="x", labelbottom=True, bottom=True)
        most = 9 if self._roomy else 5
        if axis is Axis.TIME:
            # With room for 5 ticks, no spacing gives 3 of an hour each over 2 hours, nor 5 of half an hour.
            least = 3 if self._roomy else 2
            locator = dates.AutoDateLocator(minticks=least, maxticks=most)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            formatter = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_formatter(formatter)
            axes.xaxis.get_offset_text().set(size=_SMALL_PT, color=LIGHT["ink"])
        else:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(most, integer=True, min_n_ticks=1))
            axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(axis.value, size=_TEXT_PT, color=LIGHT["ink"])

    def _draw_legend(self, signs: Sequence[tuple[Any, str]], columns: int) -> None:
        if not signs:
            return
        # The legend fills columns first; read line by line, it keeps the order of the signs.
        rows = -(-len(signs) // columns)
        used = -(-len(signs) // rows)
        ordered = [signs[row * used + column] for column in range(used) for row in range(rows)
                   if row * used + column < len(signs)]  # fmt: skip
        left = _LEFT_IN if self._roomy else _EDGE_IN
        self.figure.legend(
            [sign for sign, _ in ordered],
            [name for _, name in ordered],
            loc="upper left",
            bbox_to_anchor=(left / self._width_in, self._from_top(self._strips["legend"].top)),
            ncols=used,
            frameon=False,
            fontsize=_SMALL_PT,
            labelcolor=LIGHT["ink"],
            borderaxespad=0.0,
            borderpad=0.0,
            handlelength=2.0,
            columnspacing=1.6,
        )


def _signs(view: Scene) -> list[tuple[Any, str]]:
    """What the signs mean: only those that occur."""
    ink = LIGHT["ink"]
    signs: list[tuple[Any, str]] = []
    if view.series.label:
        signs.append((Line2D([], [], color=LIGHT["curve"], linewidth=1.4), "mean"))
    if view.series.banded:
        signs.append((Patch(facecolor=LIGHT["curve"], alpha=_BAND_OPACITY), "min to max"))
    for tone in Tone:
        if any(mark.tone is tone for mark in view.findings):
            colour = LIGHT[tone_role(tone)]
            signs.append((Line2D([], [], color=colour, linestyle=_STYLES[tone]), _NAMES[tone]))
    if view.findings:
        signs.append((Line2D([], [], color=ink, linewidth=0.8, linestyle=":"), "decided"))
    if view.bursts:
        signs.append((Line2D([], [], color=LIGHT["burst"], marker="|", linestyle="", markersize=9), "burst"))
    for held_back, name in ((False, "planned"), (True, "held back")):
        if any(mark.held_back is held_back for mark in view.actions):
            fill = "none" if held_back else ink
            sign = Line2D([], [], marker="^", linestyle="", markeredgecolor=ink, markerfacecolor=fill)
            signs.append((sign, name))
    for mode in dict.fromkeys(band.mode for band in view.bands):
        colour = LIGHT[mode_role(mode)]
        patch = Patch(facecolor=colour, edgecolor=LIGHT["paper"], linewidth=0, hatch=HATCHES[mode] * 2)
        signs.append((patch, mode.value))
    return signs


def _stacked(heights: dict[str, float]) -> dict[str, _Strip]:
    strips = {}
    top = 0.0
    for name, height in heights.items():
        strips[name] = _Strip(top, height)
        top += height
    return strips


def _rows(labels: Sequence[PlacedLabel]) -> int:
    return max((label.row + 1 for label in labels), default=0)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _set_scale(axes: Axes, bottom: float, top: float, *, log: bool) -> None:
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_ylim(bottom, top)
    # The default of a logarithmic axis is typeset mathematics.
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _width(text: str, size_pt: float, *, bold: bool = False) -> float:
    """Width of ``text`` in inches."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", size=size_pt, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / _POINTS_PER_IN


def _fitted(text: str, size_pt: float, width_in: float, *, bold: bool = False) -> str:
    if _width(text, size_pt, bold=bold) <= width_in:
        return text
    keep = len(text)
    while keep and _width(text[:keep] + "…", size_pt, bold=bold) > width_in:
        keep -= max(1, keep // 16)
    return text[:keep] + "…"


def _wrapped(text: str, size_pt: float, width_in: float, most: int) -> list[str]:
    if not text:
        return []
    letters = int(width_in / (_width(text, size_pt) / len(text)) * 0.96)
    lines = textwrap.wrap(text, max(letters, 8), max_lines=most, placeholder=" …")
    return [_fitted(line, size_pt, width_in) for line in lines]
