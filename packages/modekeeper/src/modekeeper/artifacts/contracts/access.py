"""What our identity may not do, as reports carry it."""

from typing import Literal

import msgspec

__all__ = ["AccessHint"]


class AccessHint(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the API server denies us, and what to ask an administrator for."""

    reason: Literal["rbac_denied"] = "rbac_denied"
    verb: str
    api_group: str
    """Empty for the core group."""
    resource: str
    """The plural; with a subresource as rules spell it: ``pods/log``."""
    namespace: str | None
    """``None``: in all namespaces, or of a kind that has none."""
    name: str | None
    """``None``: any name."""
    subject: str | None
    """Who is denied, as the API server calls it; ``None`` where it did not say."""
    message: str
    """One line for a person."""
    role_yaml: str
    """The role and its binding, ready for ``kubectl apply``."""
