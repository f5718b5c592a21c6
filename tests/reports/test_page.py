"""The page: one file that needs nothing else, and in which no text from outside is more than text."""

import re
import sys
from html.parser import HTMLParser

import msgspec
import pytest
from tests.reports import runs

from modekeeper.artifacts.contracts.parts import Findings
from modekeeper.model.mode import Mode
from modekeeper.model.untrusted import visible
from modekeeper.reports.figure.palette import DARK, LIGHT, MODE_INK, mode_role
from modekeeper.reports.page.markup import tag
from modekeeper.reports.page.report_page import render_page
from modekeeper.reports.recorded import Recorded

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

ATTACKS = {
    "script": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "cdata": "]]><img src=x onerror=alert(1)>",
    "svg": "</svg></figure><svg onload=alert(1)>",
    "comment": "--><iframe src=//example.invalid></iframe><!--",
    "style": "</style><style>*{background:url(//example.invalid)}</style>",
    "title": "</title><base href=//example.invalid>",
    "template": "$title ${body} $$ {0} %s",
    "address": "javascript:alert(1)",
    "entity": "&lt;script&gt;&#60;",
    "null": "a\x00b<\x00script>",
}


class Page(HTMLParser):
    """Elements and texts of a page; what stands inside pictures is kept apart."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.drawn: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._in_svg = 0
        self.feed(data.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_svg += tag == "svg"
        (self.drawn if self._in_svg else self.elements).append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        (self.drawn if self._in_svg else self.elements).append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._in_svg -= tag == "svg"

    def handle_data(self, data: str) -> None:
        if not self._in_svg:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def test_the_page_answers_first_and_has_everything_else() -> None:
    page = Page(render_page(runs.recorded()))
    for expected in (
        runs.ANSWER.verdict,
        runs.ANSWER.why[1],
        runs.ANSWER.cost,
        runs.ANSWER.next[1],
        runs.ANSWER.unknown[0],
        "dataloader_num_workers 4 → 6 batches",
        "cooldown: stop: cooldown_active",
        "186 s of 300 s left",
        "drift of step time ms on node-a",
        "90 %: +74 % to +78 %",
        "still standing",
        "Cause: input bound",
        "Not decided: straggler since sample 0",
        "11 (duplicate 2, invalid json 9)",
        "no: levels of different machines are mixed",
        "8 GPUs assumed",
        "report/plan/closed_loop_latest.json",
        "sha256:" + "ab" * 32,
        "5 ticks in the decision trace; one row where something changed.",
    ):
        assert expected in page.text
    order = [page.text.index(name) for name in ("VERDICT", "WHY", "COST", "NEXT", "NOT KNOWN", "Findings")]
    assert order == sorted(order)


def test_the_page_asks_for_nothing_from_outside() -> None:
    data = render_page(runs.recorded())
    page = Page(data)
    assert b"http:" not in data
    assert b"https:" not in data
    assert b"@import" not in data
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    for name, attributes in (*page.elements, *page.drawn):
        assert name not in {"script", "iframe", "object", "embed", "base", "form", "image"}
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in {"href", "src", "srcset", "xlink:href"}:
                assert value is not None
                assert value.startswith("#") or value == "data:,"
            for address in re.findall(r"url\(([^)]*)\)", value or ""):
                assert address.startswith("#")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_no_text_from_outside_becomes_more_than_text(attack: str) -> None:
    data = render_page(runs.poisoned(attack))
    page, harmless = Page(data), Page(render_page(runs.poisoned("x")))
    assert [name for name, _ in page.elements] == [name for name, _ in harmless.elements]
    assert [sorted(names) for _, names in page.elements] == [sorted(names) for _, names in harmless.elements]
    assert {name for name, _ in page.drawn} <= {"svg", "g", "path", "defs", "use", "clippath", "rect", "pattern"}
    assert visible(attack) in page.text


@pytest.mark.parametrize("attack", ["\u202ecod.exe", "\u2066x\u2069", "\u200b", "\x1b[31m", "\x07", "\ud800", "\ufeff"])
def test_characters_that_hide_or_turn_text_are_spelled_out(attack: str) -> None:
    page = render_page(runs.poisoned(attack)).decode()
    hidden = next(c for c in attack if not c.isprintable())
    assert hidden not in page
    assert f"\\u{ord(hidden):04x}" in page


def test_the_picture_is_there_for_wide_and_for_narrow_screens_and_says_what_it_shows() -> None:
    page = Page(render_page(runs.recorded()))
    pictures = [attributes for name, attributes in page.drawn if name == "svg"]
    assert [picture["class"] for picture in pictures] == ["wide", "narrow"]
    for picture in pictures:
        assert picture["role"] == "img"
        assert runs.ANSWER.verdict in (picture["aria-label"] or "")
    names = [attributes["id"] for _, attributes in page.drawn if "id" in attributes]
    assert len(names) == len(set(names))


def test_the_picture_takes_its_colours_from_the_page() -> None:
    data = render_page(runs.recorded()).decode()
    figure = data[data.index("<figure>") : data.index("</figure>")]
    assert set(re.findall(r"#[0-9a-f]{6}\b", figure)) <= {MODE_INK}
    assert set(re.findall(r"var\(--([a-z-]+)\)", figure)) <= set(LIGHT)


def test_tables_have_headings_and_the_page_has_an_outline() -> None:
    page = Page(render_page(runs.recorded()))
    names = [name for name, _ in page.elements]
    assert ("html", {"lang": "en"}) in page.elements
    assert names.count("h1") == 1
    assert names.count("h2") == 7
    headings = [attributes for name, attributes in page.elements if name == "th"]
    assert all(attributes.get("scope") in {"col", "row"} for attributes in headings)
    assert all("aria-label" in attributes for name, attributes in page.elements if name == "table")


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2, section 1.4.3."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_contrast(colours: dict[str, str]) -> None:
    assert contrast(colours["ink"], colours["paper"]) >= 7
    for role in ("curve", "burst", "tone-worse", "tone-better", "tone-neutral", "tone-straggler"):
        assert contrast(colours[role], colours["paper"]) >= 3, role
    for mode in Mode:
        assert contrast(MODE_INK, colours[mode_role(mode)]) >= 4.5, mode


def test_observe_eval_and_watch_have_pages_of_their_own() -> None:
    file = runs.recorded().report_file
    seen = Page(render_page(Recorded(report=runs.observed(), report_file=file)))
    assert "observed only, no mode was judged" in seen.text
    assert "Decisions" not in seen.texts
    judged = Page(render_page(Recorded(report=runs.evaluated(), report_file=file)))
    assert runs.ANSWER.verdict in judged.text
    assert "figure" not in [name for name, _ in judged.elements]
    session = Page(render_page(Recorded(report=runs.watched(), report_file=file)))
    assert runs.ANSWER.verdict in session.text
    assert "Modes" in session.texts
    assert "figure" in [name for name, _ in session.elements]


def test_a_page_with_nothing_found_says_so() -> None:
    page = Page(render_page(runs.recorded(findings=Findings(), telemetry=runs.telemetry(()), mode_spans=())))
    assert "No detector found a change." in page.texts


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    finding = runs.findings().standing[0]
    many = tuple(
        msgspec.structs.replace(finding, signal=msgspec.structs.replace(finding.signal, id=f"d{i}"))
        for i in range(1000)
    )
    data = render_page(runs.recorded(findings=Findings(ended=many, left_out=5), mode_spans=runs.SPANS * 300))
    page = Page(data)
    assert "805 older findings not shown." in page.texts
    assert "400 older stays not shown." in page.texts
    assert len(data) < 1_500_000


def test_without_matplotlib_the_page_has_everything_but_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = Page(render_page(runs.recorded()))
    assert "pip install 'modekeeper[plot]'" in page.text
    assert runs.ANSWER.verdict in page.text
    assert page.drawn == []


def test_markup_escapes_children_and_attributes() -> None:
    made = tag("p", "a < b & c", tag("br"), title='"x"', class_="y")
    assert made.html == '<p title="&quot;x&quot;" class="y">a &lt; b &amp; c<br></p>'


def test_visible_keeps_ordinary_text_and_cuts_long_text() -> None:
    assert visible("  Größe \t 節点\n→ 7 ") == "Größe 節点 → 7"
    assert visible("x" * 600) == "x" * 499 + "…"
    assert visible("\U000e0041") == "\\U000e0041"
    assert len(visible("\x00" * 600)) == 500
