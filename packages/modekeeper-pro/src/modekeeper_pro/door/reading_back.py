"""Step 7 of docs/DOOR.md: every write is read back, and what it came to is known before the next one is made."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, Receipt
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import (
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    JsonObject,
)
from modekeeper.model.decision import BlockReason
from modekeeper_pro.door.change import uid_of, values_at
from modekeeper_pro.door.looking import value_said
from modekeeper_pro.door.records import PlannedWrite

__all__ = ["Outcome", "ReadBack"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one write."""

    write: PlannedWrite
    status: ApplyStatus
    reason: BlockReason | None = None
    detail: str = ""
    after: dict[str, str | None] = field(default_factory=dict)
    receipt: Receipt | None = None
    switch: KillSwitch | None = None
    """Where it stopped the write."""
    sent: bool = False
    """A write was sent for it."""


class ReadBack:
    """A write that was confirmed and has its receipt, while the object is read back.

    Args:
        write: what was written.
        receipt: of what the API server said it stored.
        reading: the object as it is now; ``None`` where it is gone.
        write_receipt: a new receipt, where the object does not hold that.
    """

    def __init__(
        self,
        write: PlannedWrite,
        receipt: Receipt,
        reading: Future[JsonObject | None],
        write_receipt: Callable[[JsonObject | None], Receipt],
    ) -> None:
        self._write = write
        self._receipt = receipt
        self._reading = reading
        self._write_receipt = write_receipt
        self._outcome: Outcome | None = None

    def waited(self) -> bool:
        """Wait until it is known what the object holds; whether there was anything to wait for."""
        known = self._outcome is not None or self._reading.done()
        self.outcome()
        return not known

    def outcome(self) -> Outcome:
        """What became of the write. Where it cannot be read back, what the API server confirmed is what was written.

        Raises:
            FailedError: the disk did not take the receipt of what was found instead.
        """
        if self._outcome is None:
            self._outcome = self._compared()
        return self._outcome

    def _compared(self) -> Outcome:
        write, receipt = self._write, self._receipt
        try:
            found = self._reading.result()
        except (ClusterAnswerError, ClusterUnreachableError, ClusterConfigError):
            after, same = receipt.after, True
        else:
            after, same = values_at(found, write.place, write.after), uid_of(found) == write.uid
            if after != receipt.after:
                receipt = self._write_receipt(found)
        if same and after == write.after:
            return Outcome(write=write, status=ApplyStatus.DONE, after=after, receipt=receipt, sent=True)
        differs = [f"{key} is {value_said(after[key])}" for key in sorted(after) if after[key] != write.after[key]]
        name = f"{write.resource.kind}/{write.name}"
        return Outcome(
            write=write,
            status=ApplyStatus.FAILED,
            reason=BlockReason.TARGET_CHANGED,
            detail=f"{name}: written, and read back it is not so: {'; '.join(differs) or 'it is another object'}",
            after=after,
            receipt=receipt,
            sent=True,
        )
