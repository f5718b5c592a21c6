"""All gates run, an empty list fails, and what breaks stops."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gates.cases import GUARD, HALVED, RETUNE, action, case, proposal

from modekeeper.gates.apply import APPLY_GATES, mandatory_gates
from modekeeper.gates.base import block, first_reason, judge, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.model.decision import BlockReason, Proposal, Verdict


class Scripted:
    """A gate that does as it is told."""

    name = "scripted"
    reason = BlockReason.RBAC_DENIED

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def check(self, case: GateCase) -> Verdict:  # noqa: ARG002 - the protocol names it
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


PASS = Verdict(gate="scripted", passed=True)


def test_no_gates_at_all_is_a_failure() -> None:
    (verdict,) = judge((), case())
    assert not verdict.passed
    assert first_reason((verdict,)) is BlockReason.INVARIANT_VIOLATED


def test_no_verdicts_at_all_are_a_stop() -> None:
    assert first_reason(()) is BlockReason.INVARIANT_VIOLATED


def test_every_gate_runs_even_after_one_stopped() -> None:
    gates = [Scripted(PASS), Scripted(RuntimeError("x")), Scripted(PASS)]
    assert [verdict.passed for verdict in judge(gates, case())] == [True, False, True]
    assert [gate.asked for gate in gates] == [1, 1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        RuntimeError("broken"),
        RecursionError(),
        None,
        True,
        Verdict(gate="somebody else", passed=True),
        Verdict(gate="scripted", passed=True, reason=BlockReason.COOLDOWN_ACTIVE),
        Verdict(gate="scripted", passed=False),
        Verdict(gate="scripted", passed=1),  # type: ignore[arg-type]
    ],
)
def test_a_gate_without_a_proper_verdict_stops_under_its_own_reason(answer: Any) -> None:
    (verdict,) = judge([Scripted(answer)], case())
    assert (verdict.passed, verdict.reason, verdict.gate) == (False, BlockReason.RBAC_DENIED, "scripted")


def test_the_text_of_an_exception_does_not_leak() -> None:
    (verdict,) = judge([Scripted(ValueError("secret\nsecond line"))], case())
    assert "secret" not in verdict.detail


def test_the_reason_that_counts_comes_first_in_the_order_of_precedence() -> None:
    verdicts = [
        Verdict(gate=reason.value, passed=False, reason=reason)
        for reason in (BlockReason.BUDGET_EXHAUSTED, BlockReason.VERIFY_FAILED, BlockReason.CHORD_UNKNOWN)
    ]
    assert first_reason(verdicts) is BlockReason.VERIFY_FAILED
    assert first_reason([PASS]) is None


@given(st.lists(st.sampled_from(BlockReason), min_size=1))
def test_the_first_reason_does_not_depend_on_the_order_of_the_gates(reasons: list[BlockReason]) -> None:
    verdicts = [Verdict(gate="g", passed=False, reason=reason) for reason in reasons]
    order = list(BlockReason)
    assert first_reason(verdicts) is order[min(order.index(reason) for reason in reasons)]


def test_a_proposal_in_order_passes_every_mandatory_gate() -> None:
    for subject in (RETUNE, HALVED):
        verdicts = judge(mandatory_gates(apply_requested=True), case(subject))
        assert first_reason(verdicts) is None
        assert len(verdicts) == len(PROPOSAL_GATES) + len(APPLY_GATES)


def test_each_gate_has_a_name_of_its_own_and_its_reasons_are_in_order() -> None:
    gates = mandatory_gates(apply_requested=True)
    assert len({gate.name for gate in gates}) == len(gates)
    order = list(BlockReason)
    assert [order.index(gate.reason) for gate in gates] == sorted(order.index(gate.reason) for gate in gates)


def test_the_gates_of_a_plan_are_all_asked_before_an_apply_too() -> None:
    assert set(PROPOSAL_GATES) < set(mandatory_gates(apply_requested=True))
    assert mandatory_gates(apply_requested=False) == PROPOSAL_GATES


subjects = st.sampled_from(
    [RETUNE, GUARD, HALVED, proposal("NOT-THERE", action("concurrency", 4.0, 6.0)), proposal("NORMAL-HOLD")]
)
unsure = st.sampled_from([None, False, True])


facts = st.fixed_dictionaries(
    {
        "now_ms": st.one_of(st.none(), st.integers(min_value=0, max_value=2**53)),
        "planned_at_ms": st.one_of(
            st.none(), st.lists(st.integers(min_value=0, max_value=2**53), max_size=4).map(tuple)
        ),
        "pro_installed": unsure,
        "verify_ok": unsure,
        "kill_switch": st.sampled_from([None, KillSwitch(active=False), KillSwitch(active=True, signal="env:X")]),
        "approve_advanced": st.booleans(),
    }
)


@given(subjects, facts)
def test_every_mandatory_gate_gives_its_verdict_whatever_is_known(subject: Proposal, known: dict[str, Any]) -> None:
    gates = mandatory_gates(apply_requested=True)
    verdicts = judge(gates, case(subject, **known))
    assert [verdict.gate for verdict in verdicts] == [gate.name for gate in gates]
    if first_reason(verdicts) is None:
        assert known["pro_installed"] is True
        assert known["verify_ok"] is True
        assert known["kill_switch"] == KillSwitch(active=False)
        assert not subject.actions or None not in (known["now_ms"], known["planned_at_ms"])
    assert all(verdict.detail.isprintable() for verdict in verdicts)


def test_the_helpers_name_the_gate() -> None:
    gate = Scripted(PASS)
    assert let_pass(gate, "fine") == Verdict(gate="scripted", passed=True, detail="fine")
    assert block(gate, "no").reason is BlockReason.RBAC_DENIED
    assert block(gate, "no", BlockReason.VERIFY_FAILED).reason is BlockReason.VERIFY_FAILED
