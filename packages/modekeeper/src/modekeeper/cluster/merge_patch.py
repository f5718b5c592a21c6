"""JSON merge patch: RFC 7396."""

from typing import Any

__all__ = ["merged"]


def merged(target: Any, patch: Any) -> Any:
    """``target`` after ``patch`` (RFC 7396, section 2), as a new value; neither argument is changed.

    An object in the patch is merged key by key, ``null`` takes a key away, anything else replaces what was there.
    """
    if not isinstance(patch, dict):
        return patch
    base = target if isinstance(target, dict) else {}
    kept = {key: value for key, value in base.items() if not (key in patch and patch[key] is None)}
    return kept | {key: merged(base.get(key), value) for key, value in patch.items() if value is not None}
