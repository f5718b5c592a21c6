"""The account of every record: accepted, repaired, dropped, and why, with a few examples of each."""

from collections.abc import Iterable

import msgspec

from modekeeper.model.ingest import DropReason, IngestCounters, IngestExample, RepairReason

__all__ = ["EXCERPT_BYTES", "IngestTally", "TallyState", "escape"]

EXCERPT_BYTES = 120
"""How much of a line an example shows."""
_EXAMPLES_EACH = 3


def escape(data: bytes, max_chars: int = EXCERPT_BYTES) -> str:
    r"""Printable ASCII, anything else as ``\xNN``, cut to ``max_chars``."""
    text = data[:max_chars].decode("latin-1")
    if not text.isascii() or not text.isprintable() or "\\" in text:
        text = "".join(
            char if char.isascii() and char.isprintable() and char != "\\" else f"\\x{ord(char):02x}" for char in text
        )
    return text[:max_chars]


class TallyState(msgspec.Struct, frozen=True, kw_only=True):
    """A tally at rest."""

    accepted: int
    repaired: int
    dropped_by_reason: dict[str, int]
    repaired_by_reason: dict[str, int]
    examples: tuple[IngestExample, ...]
    examples_dropped: int
    """How many of ``examples`` are of dropped records; they come first."""


class IngestTally:
    """Counts records once their fate is known: one that still waits to be put in order has not been counted."""

    def __init__(self) -> None:
        self._accepted = 0
        self._repaired = 0
        self._dropped: dict[DropReason, int] = {}
        self._repairs: dict[RepairReason, int] = {}
        self._drop_examples: dict[DropReason, list[IngestExample]] = {}
        self._repair_examples: dict[RepairReason, list[IngestExample]] = {}

    def accept(self, count: int = 1) -> None:
        """Records taken as they were."""
        self._accepted += count

    def repair(self, reasons: Iterable[RepairReason], source: str, line: int, excerpt: bytes) -> None:
        """A record taken after at least one repair; it counts once, and under each of its reasons."""
        self._accepted += 1
        self._repaired += 1
        for reason in reasons:
            self._repairs[reason] = self._repairs.get(reason, 0) + 1
            _remember(self._repair_examples.setdefault(reason, []), reason, source, line, excerpt)

    def drop(self, reason: DropReason, source: str, line: int, excerpt: bytes) -> None:
        """A record that is not used."""
        self._dropped[reason] = self._dropped.get(reason, 0) + 1
        _remember(self._drop_examples.setdefault(reason, []), reason, source, line, excerpt)

    def counters(self) -> IngestCounters:
        """The account so far, in the fixed order of the reasons."""
        dropped_total = sum(self._dropped.values())
        examples = self._examples()
        return IngestCounters(
            read_total=self._accepted + dropped_total,
            accepted_total=self._accepted,
            dropped_total=dropped_total,
            repaired_total=self._repaired,
            dropped_by_reason={str(r): self._dropped[r] for r in DropReason if r in self._dropped},
            repaired_by_reason={str(r): self._repairs[r] for r in RepairReason if r in self._repairs},
            examples=tuple(examples),
        )

    def state(self) -> TallyState:
        """Everything needed to go on counting elsewhere."""
        counters = self.counters()
        return TallyState(
            accepted=self._accepted,
            repaired=self._repaired,
            dropped_by_reason=counters.dropped_by_reason,
            repaired_by_reason=counters.repaired_by_reason,
            examples=counters.examples,
            examples_dropped=sum(map(len, self._drop_examples.values())),
        )

    def restore(self, state: TallyState) -> None:
        """Go on from ``state``.

        Raises:
            ValueError: it names a reason there is not.
        """
        self._accepted, self._repaired = state.accepted, state.repaired
        self._dropped = {DropReason(r): n for r, n in state.dropped_by_reason.items()}
        self._repairs = {RepairReason(r): n for r, n in state.repaired_by_reason.items()}
        self._drop_examples, self._repair_examples = {}, {}
        for example in state.examples[: state.examples_dropped]:
            self._drop_examples.setdefault(DropReason(example.reason), []).append(example)
        for example in state.examples[state.examples_dropped :]:
            self._repair_examples.setdefault(RepairReason(example.reason), []).append(example)

    def _examples(self) -> list[IngestExample]:
        dropped = [e for reason in DropReason for e in self._drop_examples.get(reason, [])]
        return dropped + [e for reason in RepairReason for e in self._repair_examples.get(reason, [])]


def _remember(kept: list[IngestExample], reason: str, source: str, line: int, excerpt: bytes) -> None:
    if len(kept) < _EXAMPLES_EACH:
        kept.append(IngestExample(source=source, line=line, reason=str(reason), text=escape(excerpt)))
