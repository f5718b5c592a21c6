"""The table of ``mk chords list``. Needs no command-line library, so that ``main`` can print it without one."""

from modekeeper.cli.console import table
from modekeeper.policy.catalog import load_default

__all__ = ["print_chords"]


def print_chords() -> int:
    """Every chord of the built-in catalog, a line each."""
    rows = [(c.id, c.risk_tier, ", ".join(c.knobs_touched) or "-", c.intent) for c in load_default().chords]
    table(("chord", "tier", "knobs", "intent"), rows)
    return 0
