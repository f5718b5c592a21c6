"""The envelope of a chord, and the catalog of them."""

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.model.decision import RiskTier
from modekeeper.model.signal import SignalKind

__all__ = [
    "CATALOG_SCHEMA",
    "HOLD_CHORD",
    "RELOCK_CHORD",
    "Budget",
    "Catalog",
    "ChordSpec",
    "catalog_digest",
    "find_chord",
]

CATALOG_SCHEMA = "chord_catalog.v1"
HOLD_CHORD = "NORMAL-HOLD"
"""Does nothing, and so cannot be taken away."""
RELOCK_CHORD = "RECOVER-RELOCK"
"""Takes changes back; the only one whose steps may be as large as the way back is."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``max_changes`` in any ``window_ms``."""

    max_changes: int
    window_ms: int


class ChordSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of one chord. Every list is sorted: the order of its words has no meaning."""

    id: str
    intent: str
    risk_tier: RiskTier
    required_signals: tuple[SignalKind, ...]
    """All of them must stand before the chord may act."""
    invariants: tuple[str, ...]
    knobs_touched: tuple[str, ...]
    """Names of the registry; aliases are resolved."""
    cooldown_ms: int | None = None
    """Shortest time between two of its changes; ``None`` in a given catalog: what the built-in one says."""
    budget: Budget | None = None
    """``None`` in a given catalog: what the built-in one says."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The chords that may be used, sorted by id."""

    schema_version: str
    chords: tuple[ChordSpec, ...]


def catalog_digest(catalog: Catalog) -> str:
    """``sha256:<hex>`` of the canonical JSON; the order chords and words were written in does not count."""
    return canonical_digest(catalog)


def find_chord(catalog: Catalog, chord_id: str) -> ChordSpec | None:
    """The envelope of a chord; ``None`` when the catalog does not have it."""
    return next((chord for chord in catalog.chords if chord.id == chord_id), None)
