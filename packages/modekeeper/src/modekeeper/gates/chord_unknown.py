"""Only chords of the catalog in force may act."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.chord_spec import find_chord
from modekeeper.policy.wording import shown

__all__ = ["ChordUnknown"]


class ChordUnknown:
    """Stops a chord that the catalog does not have."""

    name = "chord_unknown"
    reason = BlockReason.CHORD_UNKNOWN

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        chord_id = case.proposal.chord_id
        if find_chord(case.catalog, chord_id) is None:
            known = ", ".join(chord.id for chord in case.catalog.chords)
            return block(self, f"{shown(chord_id)!r} is no chord of the catalog in force ({known})")
        return let_pass(self)
