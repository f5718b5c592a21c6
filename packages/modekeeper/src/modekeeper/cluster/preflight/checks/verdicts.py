"""How a check says what it found."""

from modekeeper.artifacts.contracts.preflight import PreflightBlocker, PreflightCheck
from modekeeper.cluster.preflight.facts import Facts, NoAnswer, Why
from modekeeper.cluster.rbac import access_hint

__all__ = ["HOW_TO_ASK", "blocked", "noted", "passed", "unread", "untold"]

HOW_TO_ASK = "preflight_summary.md has the role to ask for"


def passed(name: str, detail: str) -> PreflightCheck:
    """As it should be."""
    return PreflightCheck(name=name, status="pass", detail=detail)


def noted(name: str, detail: str, hint: str | None = None, *, role: str | None = None) -> PreflightCheck:
    """Worth knowing; stops nothing."""
    return PreflightCheck(name=name, status="note", detail=detail, hint=hint, role_yaml=role)


def blocked(
    name: str, blocker: PreflightBlocker, detail: str, hint: str | None = None, *, role: str | None = None
) -> PreflightCheck:
    """Nothing can be observed before this is mended."""
    return PreflightCheck(name=name, status="fail", detail=detail, hint=hint, blocker=blocker, role_yaml=role)


def untold(
    name: str, detail: str, hint: str | None = None, *, blocker: PreflightBlocker | None = None, role: str | None = None
) -> PreflightCheck:
    """It could not be found out; with a ``blocker`` where nothing can go on without it."""
    return PreflightCheck(name=name, status="unknown", detail=detail, hint=hint, blocker=blocker, role_yaml=role)


def unread(name: str, facts: Facts, gap: NoAnswer, *, blocker: PreflightBlocker | None = None) -> PreflightCheck:
    """What the check needs was not answered: why, and the right to ask for where it is one that is missing."""
    if gap.why is not Why.DENIED or gap.needs is None:
        return untold(name, gap.detail, blocker=blocker)
    hint = access_hint(gap.needs, subject=gap.identity or facts.identity)
    return untold(name, hint.message, HOW_TO_ASK, blocker=blocker, role=hint.role_yaml)
