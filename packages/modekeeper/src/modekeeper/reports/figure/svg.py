"""Our own SVG pictures made smaller, and fit to stand inside a page. Not for SVG from anywhere else."""

import re
from collections.abc import Mapping
from html import escape

from modekeeper.model.untrusted import visible

__all__ = ["embedded", "slim"]

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_PATH = re.compile(r' d="([^"]*)"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_INDENT = re.compile(r"\n\s*")
_START = re.compile(r"<svg [^>]*>")
_VIEW_BOX = re.compile(r'viewBox="[0-9. ]+"')
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_IDENTIFIER = re.compile(r' id="|href="#|url\(#')


def slim(svg: str, title: str) -> str:
    """``svg`` of matplotlib without comments, with hundredths of a point, and with a title for people."""
    svg = _COMMENT.sub("", svg)
    svg = _PATH.sub(_shorter, svg)
    svg = _INDENT.sub("\n", svg)
    spoken = escape(visible(title), quote=True)
    return _START.sub(lambda start: f"{start[0]}\n<title>{spoken}</title>", svg, count=1)


def embedded(svg: str, name: str, label: str, colours: Mapping[str, str]) -> str:
    """The ``<svg>`` element of a picture for a page that names the colours by their roles.

    Args:
        svg: what ``slim`` gave.
        name: class of the picture; set before every identifier, so that two pictures in one page do not mix.
        label: what a screen reader says.
        colours: role to colour; each colour becomes ``var(--<role>)``.
    """
    start = _START.search(svg)
    body = svg[start.end() :] if start else ""
    body = _STYLE.sub("", body.partition("</title>")[2])
    body = _IDENTIFIER.sub(lambda found: f"{found[0]}{name}-", body)
    for role, colour in colours.items():
        body = body.replace(colour, f"var(--{role})")
    box = _VIEW_BOX.search(start[0] if start else "")
    view = box[0] if box else ""
    spoken = escape(visible(label), quote=True)
    return f'<svg {view} class="{name}" role="img" aria-label="{spoken}">{body.strip()}'


def _shorter(path: re.Match[str]) -> str:
    coordinates = _DECIMALS.sub(r"\1", _INDENT.sub("", path[1]))
    return f' d="{coordinates}"'
