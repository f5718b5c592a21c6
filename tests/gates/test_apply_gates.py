"""What must be in order before anything is applied."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gates.cases import case

from modekeeper.gates.apply import APPLY_GATES, mandatory_gates
from modekeeper.gates.base import first_reason, judge
from modekeeper.gates.kill_switch import KillSwitch, read_kill_switch
from modekeeper.gates.verified import VERIFY_REQUIRED_LINE
from modekeeper.model.decision import BlockReason

NAME = "MODEKEEPER_KILL_SWITCH"


@pytest.mark.parametrize("value", ["", "0", "false", "FALSE", "no", "off", " Off ", "\t0\n"])
def test_the_switch_is_off_only_when_it_says_so(value: str) -> None:
    assert read_kill_switch({NAME: value}) == KillSwitch(active=False)


def test_the_switch_is_off_when_nobody_set_it() -> None:
    assert read_kill_switch({}) == KillSwitch(active=False)
    assert read_kill_switch({"MODEKEEPER_INTERNAL_OVERRIDE": "1"}) == KillSwitch(active=False)


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", "2", "nonsense", "\udcff", "0x0", "false!", "\x00", "нет"])
def test_whatever_else_it_says_it_is_on(value: str) -> None:
    switch = read_kill_switch({NAME: value, "MODEKEEPER_INTERNAL_OVERRIDE": "1", "MODEKEEPER_PAID": "1"})
    assert switch == KillSwitch(active=True, signal="env:MODEKEEPER_KILL_SWITCH")


@given(st.text())
def test_no_text_breaks_the_switch(value: str) -> None:
    off = value.strip().lower() in {"", "0", "false", "no", "off"}
    assert read_kill_switch({NAME: value}).active is not off


ON = KillSwitch(active=True, signal="env:MODEKEEPER_KILL_SWITCH")
STOPS: dict[str, tuple[dict[str, Any], BlockReason]] = {
    "the switch is on": ({"kill_switch": ON}, BlockReason.KILL_SWITCH_ACTIVE),
    "nobody looked at the switch": ({"kill_switch": None}, BlockReason.KILL_SWITCH_ACTIVE),
    "the licensed package is missing": ({"pro_installed": False}, BlockReason.PRO_NOT_INSTALLED),
    "nobody looked for the licensed package": ({"pro_installed": None}, BlockReason.PRO_NOT_INSTALLED),
    "no verification": ({"verify_ok": None}, BlockReason.VERIFY_MISSING),
    "a failed verification": ({"verify_ok": False}, BlockReason.VERIFY_FAILED),
    "the switch is on and all else is wrong": (
        {"kill_switch": ON, "pro_installed": False, "verify_ok": False, "now_ms": None},
        BlockReason.KILL_SWITCH_ACTIVE,
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_an_apply_is_stopped_with_the_reason_that_counts(name: str) -> None:
    fields, reason = STOPS[name]
    verdicts = judge(mandatory_gates(apply_requested=True), case(**fields))
    assert first_reason(verdicts) is reason


def test_the_switch_names_its_variable() -> None:
    verdict = next(v for v in judge(APPLY_GATES, case(kill_switch=ON)) if not v.passed)
    assert NAME in verdict.detail


def test_approval_does_not_open_the_gates_of_an_apply() -> None:
    fields: dict[str, Any] = {
        "kill_switch": ON,
        "approve_advanced": True,
        "approvals": frozenset({"DRIFT-RETUNE"}),
    }
    assert first_reason(judge(mandatory_gates(apply_requested=True), case(**fields))) is (
        BlockReason.KILL_SWITCH_ACTIVE
    )


def test_the_line_scripts_look_for_is_fixed() -> None:
    assert VERIFY_REQUIRED_LINE == "ERROR: verify_ok=true is required for apply/mutate operations"
