"""One line of a container log to one record, or to the reason why not."""

import msgspec

from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.telemetry.decode import Decoded, LineDecoder
from modekeeper.telemetry.fields import LOOKUP
from modekeeper.telemetry.limits import IngestLimits
from modekeeper.telemetry.pods.facts import PodFacts
from modekeeper.telemetry.pods.loose import figures_in
from modekeeper.telemetry.records import RecordReader

__all__ = ["PodLineDecoder"]

_NO_RECORD = frozenset({DropReason.MISSING_FIELD, DropReason.NOT_A_NUMBER})
_OBJECT = b"{"


class PodLineDecoder:
    """Reads lines strictly, as a file of JSON lines, or loosely, as text for people.

    A record without a usable time gets the node's time of its line, and one that names no machine that of its pod.
    """

    def __init__(self, limits: IngestLimits) -> None:
        self._strict = LineDecoder(limits)
        self._records = RecordReader(limits)

    def decode(self, text: bytes, ns: int, facts: PodFacts) -> Decoded | DropReason:
        """What one line holds.

        Args:
            text: the line as the container wrote it.
            ns: the node's time of it, in nanoseconds since 1970.
            facts: whose it is.
        """
        decoded = self._jsonl(text, ns, facts) if facts.strict else self._loose(text, ns)
        if isinstance(decoded, DropReason):
            return decoded
        sample = decoded.sample
        if (sample.node is None and facts.node) or (sample.gpu_model is None and facts.gpu_model):
            sample = msgspec.structs.replace(
                sample, node=sample.node or facts.node, gpu_model=sample.gpu_model or facts.gpu_model
            )
            return decoded._replace(sample=sample)
        return decoded

    def _jsonl(self, text: bytes, ns: int, facts: PodFacts) -> Decoded | DropReason:
        stripped = text.strip()
        if not stripped:
            return DropReason.BLANK
        if not stripped.startswith(_OBJECT):
            # No table: its header would be one of a file, and this is what many pods print.
            return DropReason.INVALID_JSON
        decoded = self._strict.decode_json(stripped, facts.node, facts.gpu_model)
        if decoded is None:
            return DropReason.INVALID_JSON
        if isinstance(decoded, DropReason) and decoded in _NO_RECORD:
            try:
                raw = msgspec.json.decode(stripped)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return DropReason.INVALID_JSON
            return self._timed(raw, ns, decoded) if isinstance(raw, dict) else decoded
        return decoded

    def _loose(self, text: bytes, ns: int) -> Decoded | DropReason:
        if not text.strip():
            return DropReason.BLANK
        figures = figures_in(text)
        if not figures:
            return DropReason.NO_TELEMETRY
        decoded = self._records.read(figures, set())
        if isinstance(decoded, DropReason) and decoded in _NO_RECORD:
            decoded = self._timed(figures, ns, decoded)
        # A counter alone is what many lines say that are no telemetry.
        return DropReason.NO_TELEMETRY if decoded is DropReason.MISSING_FIELD else decoded

    def _timed(self, raw: dict[str, object], ns: int, otherwise: Decoded | DropReason) -> Decoded | DropReason:
        """The record with the node's time, where its own cannot be used."""
        others = {name: value for name, value in raw.items() if not _is_time(name)}
        repaired: set[RepairReason] = set()
        if any(value is not None for name, value in raw.items() if _is_time(name)):
            repaired.add(RepairReason.FIELD_IGNORED)
        decoded = self._records.read({**others, "ts_ms": ns // 1_000_000}, repaired)
        return otherwise if isinstance(decoded, DropReason) and otherwise is DropReason.NOT_A_NUMBER else decoded


def _is_time(name: str) -> bool:
    target = LOOKUP.get(name)
    return target is not None and target.field.name == "ts_ms"
