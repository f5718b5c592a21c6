"""A recorded run as one HTML file that needs nothing else: no script, no font, no picture from anywhere."""

from collections.abc import Mapping
from importlib.resources import files
from string import Template

from modekeeper.artifacts.contracts.reports import ObserveReport
from modekeeper.model.errors import BadInputError
from modekeeper.model.mode import Mode
from modekeeper.reports.figure.palette import DARK, LIGHT, mode_role
from modekeeper.reports.figure.picture import NARROW_IN, WIDE_IN, write_picture
from modekeeper.reports.figure.svg import embedded
from modekeeper.reports.page.markup import Child, Markup, tag, text
from modekeeper.reports.page.sections import (
    answer_box,
    cost_section,
    decisions_section,
    environment_section,
    findings_section,
    ingest_section,
    modes_section,
    provenance_section,
)
from modekeeper.reports.recorded import Recorded

__all__ = ["render_page"]

_SHAPES = (("wide", WIDE_IN), ("narrow", NARROW_IN))


def render_page(recorded: Recorded) -> bytes:
    """The page of ``recorded``; the same record gives the same bytes with the same version of matplotlib.

    Where matplotlib is missing, the page says how to get the picture, and has everything else.
    """
    answer = recorded.answer
    parts = (
        tag("h1", answer.title),
        answer_box(recorded),
        _picture(recorded),
        findings_section(recorded),
        decisions_section(recorded),
        modes_section(recorded),
        cost_section(recorded),
        ingest_section(recorded),
        environment_section(recorded),
        provenance_section(recorded),
    )
    template = Template(files("modekeeper.reports.page").joinpath("page.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=text(f"{answer.verdict} · {answer.title}", 200).html,
        light=_variables(LIGHT),
        dark=_variables(DARK),
        mode=_mode_colour(recorded),
        body="\n".join(part.html for part in parts if part is not None),
    )
    return page.encode()


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{role}: {colour};" for role, colour in colours.items())


def _mode_colour(recorded: Recorded) -> str:
    report = recorded.report
    return "frame" if isinstance(report, ObserveReport) or report.mode is Mode.NORMAL else mode_role(report.mode)


def _picture(recorded: Recorded) -> Markup | None:
    """The picture twice, for wide and for narrow screens, of which one is shown."""
    if recorded.telemetry is None:
        return None
    answer = recorded.answer
    spoken = f"Step time, findings, modes and changes of the run. {answer.title}. {answer.verdict}"
    drawn: list[Child] = []
    try:
        for name, width_in in _SHAPES:
            svg = write_picture(recorded, "svg", width_in, titled=False).decode()
            drawn.append(Markup(embedded(svg, name, spoken, LIGHT)))
    except BadInputError as error:
        return tag("p", f"No picture: {error}", class_="muted")
    return tag("figure", *drawn)
