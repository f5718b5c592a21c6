"""Pictures: the same bytes for the same record, text as text, and nothing breaks them."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from tests.reports import runs

from modekeeper.artifacts.contracts.parts import Finding, Findings, SeriesPoint
from modekeeper.model.errors import BadInputError
from modekeeper.model.mode import Mode
from modekeeper.model.signal import SignalKind
from modekeeper.reports.figure.palette import DARK, LIGHT
from modekeeper.reports.figure.picture import NARROW_IN, draw, write_picture
from modekeeper.reports.recorded import Recorded, load_recorded

PNG_START = b"\x89PNG\r\n\x1a\n"

FRESH = """
import hashlib, sys
from pathlib import Path
from modekeeper.reports.page.report_page import render_page
from modekeeper.reports.figure.picture import write_picture
from modekeeper.reports.recorded import load_recorded
run = load_recorded(Path(sys.argv[1]))
for data in (write_picture(run, "svg"), write_picture(run, "png"), render_page(run)):
    print(hashlib.sha256(data).hexdigest())
"""


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_the_picture_says_what_was_found_and_what_was_proposed() -> None:
    written = texts(draw(runs.recorded()))
    for expected in (
        "trainer · 2,000 steps · 1 min 40 s",
        "DRIFT since step 702: step time 34.0 ms → 88.0 ms (+159 %)",
        "+76 % since step 702",
        "+47 % since step 1,402",
        "dataloader_prefetch_factor 2 → 4",
        "dataloader_num_workers 4 → 6 (held back: cooldown_active)",
        "NORMAL",
        "DRIFT",
        "step time (ms)",
        "step",
    ):
        assert expected in written


def test_the_same_record_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    runs.write_run(tmp_path)
    printed = []
    for seed in ("1", "2"):
        fresh = subprocess.run(
            [sys.executable, "-c", FRESH, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo"},
            check=True,
            capture_output=True,
            text=True,
        )
        printed.append(fresh.stdout.split())
    assert printed[0] == printed[1]
    run = load_recorded(tmp_path)
    here = [hashlib.sha256(write_picture(run, form)).hexdigest() for form in ("svg", "png")]
    assert here == printed[0][:2]


def test_settings_of_the_user_change_nothing_and_are_left_alone() -> None:
    before = write_picture(runs.recorded(), "svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "pink", "text.usetex": True, "svg.hashsalt": None}):
        assert write_picture(runs.recorded(), "svg") == before
        assert mpl.rcParams["axes.facecolor"] == "pink"


def test_the_svg_has_no_date_no_version_and_a_title() -> None:
    svg = write_picture(runs.recorded(), "svg").decode()
    root = ET.fromstring(svg)  # noqa: S314 - our own picture
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text == f"{runs.ANSWER.title}. {runs.ANSWER.verdict}"
    assert "matplotlib v" not in svg.lower()
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)
    assert "<!--" not in svg


def test_text_from_outside_is_never_read_as_mathematics_or_markup() -> None:
    attack = "$\\frac{1}$ </svg><script>alert(1)</script> --> ]]> \u202e"
    svg = write_picture(runs.poisoned(attack), "svg").decode()
    root = ET.fromstring(svg)  # noqa: S314 - our own picture
    assert {element.tag.partition("}")[2] for element in root.iter()} <= {
        "svg", "title", "g", "path", "defs", "use", "clipPath", "rect", "pattern", "style",
    }  # fmt: skip
    assert "<script" not in svg
    assert "\\u202e" in svg


@pytest.mark.parametrize("text", ["节点-七", "узел", "🔥" * 300, "", "a" * 100_000, "\u0301" * 50])
def test_any_script_and_any_length_can_be_drawn(text: str) -> None:
    answer = msgspec.structs.replace(runs.ANSWER, title=text, verdict=text)
    assert write_picture(runs.recorded(answer=answer), "png").startswith(PNG_START)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("stepped", [True, False])
def test_short_runs_can_be_drawn(count: int, stepped: bool) -> None:
    series = runs.points(stepped=stepped)[:count]
    run = runs.recorded(telemetry=runs.telemetry(series), mode_spans=runs.SPANS if count else ())
    for width_in in (11.0, NARROW_IN):
        assert write_picture(run, "png", width_in).startswith(PNG_START)


def test_a_run_over_time_has_no_steps_on_its_axis() -> None:
    run = runs.recorded(telemetry=runs.telemetry(runs.points(stepped=False)))
    assert "time (UTC)" in texts(draw(run))


def test_eval_alone_has_no_series_and_says_so() -> None:
    run = Recorded(report=runs.evaluated(), report_file=runs.recorded().report_file)
    assert "no series to draw" in texts(draw(run))


def test_every_mode_has_its_hatch_and_its_name() -> None:
    spans = tuple(runs.span(mode, number * 400, number * 400 + 399) for number, mode in enumerate(Mode))
    run = runs.recorded(mode_spans=spans)
    assert len(write_picture(run, "svg")) < 200_000
    written = texts(draw(run))
    for mode in Mode:
        assert written.count(mode.value) == 2


def test_a_picture_of_very_many_findings_stays_small() -> None:
    many = tuple(
        Finding(signal=runs.signal(f"d{i}", SignalKind.DRIFT, i * 20, i * 20 + 5, effect=0.5)) for i in range(100)
    )
    svg = write_picture(runs.recorded(findings=Findings(ended=many)), "svg")
    assert len(svg) < 400_000


def test_labels_stay_inside_the_picture() -> None:
    late = Finding(
        signal=runs.signal("s", SignalKind.STRAGGLER, 1990, 1995, workers=tuple(range(9)), nodes=("n" * 60,) * 3)
    )
    for width_in in (11.0, NARROW_IN):
        figure = draw(runs.recorded(findings=Findings(standing=(late,))), width_in)
        figure.draw_without_rendering()
        edges = figure.bbox
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                assert edges.x0 - 1 <= box.x0, text.get_text()
                assert box.x1 <= edges.x1 + 1, text.get_text()


def test_no_two_roles_share_a_colour() -> None:
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert LIGHT.keys() == DARK.keys()


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInputError, match=r"pip install 'modekeeper\[plot\]'"):
        write_picture(runs.recorded(), "svg")
    with pytest.raises(BadInputError, match="not installed"):
        draw(runs.recorded())


wild = st.floats(allow_nan=False, allow_infinity=False) | st.none()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(
            SeriesPoint,
            ts_ms=st.integers(-(2**70), 2**70) | st.integers(0, 2**41),
            index=st.integers(0, 2**60),
            samples=st.integers(0, 9),
            step=st.integers(0, 2**70) | st.integers(0, 99),
            step_time_ms=wild,
            step_time_min_ms=wild,
            step_time_max_ms=wild,
        ),
        max_size=8,
    )
)
def test_whatever_was_recorded_can_be_drawn(points: list[SeriesPoint]) -> None:
    run = runs.recorded(telemetry=runs.telemetry(points))
    assert write_picture(run, "png", NARROW_IN).startswith(PNG_START)


@pytest.mark.parametrize("lasting_s", [1, 119, 121, 7_199, 7_260, 172_700, 172_900, 5_300_000, 63_000_000])
def test_any_stretch_of_time_has_an_axis(lasting_s: int) -> None:
    """A narrow picture of two hours had no ticks that matplotlib found fitting, and a warning instead."""
    points = [SeriesPoint(ts_ms=1000 * at, index=place, samples=1) for place, at in enumerate((0, lasting_s))]
    run = runs.recorded(telemetry=runs.telemetry(points))
    for width in (NARROW_IN, 12.0):
        assert write_picture(run, "png", width).startswith(PNG_START)
