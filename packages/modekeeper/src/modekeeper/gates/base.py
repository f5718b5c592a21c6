"""What a gate is, and how a case is judged by all of them."""

from collections.abc import Sequence
from typing import Protocol

from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, Verdict

__all__ = ["Gate", "block", "first_reason", "judge", "let_pass"]

_ORDER = {reason: rank for rank, reason in enumerate(BlockReason)}


class Gate(Protocol):
    """One pure check. Its reason to stop is fixed, so that a gate that breaks still has one."""

    @property
    def name(self) -> str:
        """What verdicts call it."""
        ...

    @property
    def reason(self) -> BlockReason:
        """Recorded when the gate cannot give a verdict."""
        ...

    def check(self, case: GateCase) -> Verdict:
        """Say whether the change may go on."""
        ...


def let_pass(gate: Gate, detail: str = "") -> Verdict:
    """The change may go on, as far as ``gate`` is concerned."""
    return Verdict(gate=gate.name, passed=True, detail=detail)


def block(gate: Gate, detail: str, reason: BlockReason | None = None) -> Verdict:
    """The change stops here."""
    return Verdict(gate=gate.name, passed=False, reason=reason or gate.reason, detail=detail)


def judge(gates: Sequence[Gate], case: GateCase) -> tuple[Verdict, ...]:
    """The verdict of every gate, in their order; the change may go on only if each one passed.

    No gates at all is a failure, and so is a gate that breaks or gives no proper verdict.
    """
    if not gates:
        detail = "no gate was given: nothing was checked"
        return (Verdict(gate="gates", passed=False, reason=BlockReason.INVARIANT_VIOLATED, detail=detail),)
    return tuple(_verdict(gate, case) for gate in gates)


def first_reason(verdicts: Sequence[Verdict]) -> BlockReason | None:
    """The reason that counts, in the order of precedence; ``None`` when every gate passed.

    No verdicts at all count as a stop.
    """
    if not verdicts:
        return BlockReason.INVARIANT_VIOLATED
    stopped = [v.reason or BlockReason.INVARIANT_VIOLATED for v in verdicts if not v.passed or v.reason is not None]
    return min(stopped, key=_ORDER.__getitem__, default=None)


def _verdict(gate: Gate, case: GateCase) -> Verdict:
    try:
        verdict = gate.check(case)
    except Exception as error:  # noqa: BLE001 - whatever breaks in a gate stops the change
        return block(gate, f"the gate broke: {type(error).__name__}")
    proper = isinstance(verdict, Verdict) and verdict.gate == gate.name
    if not proper or verdict.passed is not (verdict.reason is None):
        return block(gate, "the gate gave no proper verdict")
    return verdict
