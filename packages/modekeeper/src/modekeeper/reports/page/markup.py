"""HTML that is escaped by construction: text becomes markup in one place only."""

from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from modekeeper.model.untrusted import visible

__all__ = ["Child", "Markup", "tag", "text"]


@dataclass(frozen=True, slots=True)
class Markup:
    """Finished HTML. Made by ``tag`` and ``text``, never from text that came from outside."""

    html: str


Child: TypeAlias = "str | Markup"

_VOID = frozenset({"img", "source", "br"})


def text(value: str, limit: int = 500) -> Markup:
    """``value`` as text of a page: visible, cut to ``limit`` characters and escaped."""
    return Markup(escape(visible(value, limit), quote=True))


def tag(name: str, *children: Child, **attributes: str) -> Markup:
    """One element. Plain strings among ``children``, and all attribute values, are escaped.

    ``name`` and the attribute names are the page's own words: ``class_`` and ``for_`` lose their final
    underscore, other underscores become hyphens (``aria_label``).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value, quote=True)}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    inner = "".join(child.html if isinstance(child, Markup) else text(child).html for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>")
