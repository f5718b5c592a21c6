"""Where the samples come from: the names of nodes and GPU models, and a finding when there is more than one."""

from collections.abc import Sequence
from typing import Any

from modekeeper.detect.base import placed, position_at, undecided
from modekeeper.detect.chunks import LastSample
from modekeeper.detect.history import Position
from modekeeper.detect.settings import DetectorSettings
from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Environment, Phase, Signal, SignalKind

__all__ = ["EnvironmentDetector"]

FIELDS = ("node", "gpu_model")
WORDS = {"node": "nodes", "gpu_model": "GPU models"}


class EnvironmentDetector:
    """One finding a field, confirmed at the first sample with a second name; it never clears.

    At most ``max_names`` names a field are kept; samples that name another one are counted.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        self._max_names = settings.max_names
        self._names: dict[str, list[str]] = {field: [] for field in FIELDS}
        self._beyond: dict[str, int] = dict.fromkeys(FIELDS, 0)
        self._unnamed: dict[str, int] = dict.fromkeys(FIELDS, 0)
        self._samples = 0
        self._last = LastSample()

    def update(self, block: SampleBlock) -> list[Signal]:
        """See :class:`modekeeper.detect.base.Detector`."""
        signals: list[Signal] = []
        samples = len(block)
        for field, column in (("node", block.node), ("gpu_model", block.gpu_model)):
            first = column[0] if samples else None
            if samples and column.count(first) == samples and (first is None or first in self._names[field]):
                self._unnamed[field] += samples if first is None else 0
            else:
                signals.extend(self._take(field, column, block))
        self._samples += samples
        self._last.see(block)
        return signals

    def _take(self, field: str, column: Sequence[str | None], block: SampleBlock) -> list[Signal]:
        signals: list[Signal] = []
        known = {None, *self._names[field]}
        if not known.issuperset(column):
            for row, name in enumerate(column):
                if name is not None and name not in self._names[field]:
                    signals.extend(self._meet(field, name, position_at(block, row)))
        self._unnamed[field] += column.count(None)
        return signals

    def _meet(self, field: str, name: str, at: Position) -> list[Signal]:
        names = self._names[field]
        if len(names) >= self._max_names:
            self._beyond[field] += 1
            return []
        names.append(name)
        if len(names) != 2:  # noqa: PLR2004 - the second name is the finding
            return []
        both = tuple(sorted(names))
        return [
            Signal(
                id=f"{SignalKind.HETEROGENEOUS_ENVIRONMENT.value}-{field}-1",
                kind=SignalKind.HETEROGENEOUS_ENVIRONMENT,
                phase=Phase.CONFIRMED,
                metric=field,
                direction=Direction.NEUTRAL,
                **placed(at, at),
                confidence=1.0,
                samples_used=2,
                nodes=both if field == "node" else (),
                gpu_models=both if field == "gpu_model" else (),
                explanation=f"samples of one workload name more than one {field}: {both[0]!r} and {both[1]!r}",
            )
        ]

    def environment(self) -> Environment:
        """The fingerprint so far."""
        notes = []
        for field in FIELDS:
            word = WORDS[field]
            if self._beyond[field]:
                notes.append(f"{self._beyond[field]} samples name further {word}: only {self._max_names} are kept")
            if self._samples and self._unnamed[field] == self._samples:
                notes.append(f"no sample names its {field}")
            elif self._unnamed[field]:
                notes.append(f"{self._unnamed[field]} of {self._samples} samples name no {field}")
        return Environment(
            nodes_seen=tuple(sorted(self._names["node"])),
            gpu_models_seen=tuple(sorted(self._names["gpu_model"])),
            unstable=any(len(names) > 1 for names in self._names.values()),
            notes=tuple(notes),
        )

    def conclude(self) -> list[Signal]:
        """Undecided for a field no sample names."""
        kind = SignalKind.HETEROGENEOUS_ENVIRONMENT
        return [
            undecided(kind, field, self._last.position, f"no {field} in the telemetry: whether it changed is unknown")
            for field in FIELDS
            if not self._names[field]
        ]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "names": {field: list(names) for field, names in self._names.items()},
            "beyond": dict(self._beyond),
            "unnamed": dict(self._unnamed),
            "samples": self._samples,
            "last": self._last.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a :meth:`snapshot`."""
        self._names = {field: list(names) for field, names in snapshot["names"].items()}
        self._beyond = dict(snapshot["beyond"])
        self._unnamed = dict(snapshot["unnamed"])
        self._samples = snapshot["samples"]
        self._last.restore(snapshot["last"])
