"""What each signal of the kill-switch means. In doubt, it is active."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.gates.kill_switch import NOT_ACTIVE, read_kill_switch, said_by_config_map, said_by_file

OFF = ["0", "false", "no", "off", " OFF\n", "False"]
DOUBTFUL = ["1", "true", "on", "yes", "offf", "o ff", "0.0", "-0", "none", "\u0660", "\ufeffoff", "off\x00"]


@pytest.mark.parametrize("text", ["", "  ", *OFF])
def test_a_variable_is_off(text: str) -> None:
    assert read_kill_switch({"MODEKEEPER_KILL_SWITCH": text}) == NOT_ACTIVE
    assert read_kill_switch({}) == NOT_ACTIVE


@pytest.mark.parametrize("text", OFF)
def test_a_file_and_a_config_map_are_off_only_by_a_word(text: str) -> None:
    assert said_by_file("/stop", text.encode()) == NOT_ACTIVE
    assert said_by_config_map("ml", {"data": {"active": text}}) == NOT_ACTIVE


@pytest.mark.parametrize("text", DOUBTFUL)
def test_whatever_is_no_word_for_off_is_on(text: str) -> None:
    assert read_kill_switch({"MODEKEEPER_KILL_SWITCH": text}).signal == "env:MODEKEEPER_KILL_SWITCH"
    assert said_by_file("/stop", text.encode()).signal == "file:/stop"
    assert said_by_config_map("ml", {"data": {"active": text}}).signal == "configmap:ml/modekeeper-kill-switch"


@pytest.mark.parametrize("data", [b"", b"\n", b"off" + b" " * 100, b"\xff\xfe", "\u043eff".encode()])
def test_a_file_that_only_exists_is_on(data: bytes) -> None:
    assert said_by_file("/stop", data).active


@pytest.mark.parametrize(
    "found",
    [
        {},
        None,
        [],
        {"data": None},
        {"data": {}},
        {"data": []},
        {"data": {"active": None}},
        {"data": {"active": False}},
        {"data": {"active": ""}},
        {"data": {"Active": "off"}},
        {"binaryData": {"active": "b2Zm"}},
    ],
)
def test_a_config_map_that_does_not_say_off_is_on(found: object) -> None:
    assert said_by_config_map("ml", found).active


@given(st.binary(max_size=80))
def test_no_bytes_but_four_words_turn_a_file_off(data: bytes) -> None:
    is_off = data.decode("latin-1").strip().lower() in {"0", "false", "no", "off"}
    assert said_by_file("x", data).active is not is_off
