"""Looking at the kill-switch: every signal, every way in which it cannot be read."""

import os
from pathlib import Path

import msgspec
import pytest

from modekeeper.cluster.kill_switch import (
    KillSwitchSignals,
    look_at_config_map,
    look_at_file,
    switch_namespaces,
)
from modekeeper.cluster.memory import CONFIG_MAPS, MemoryCluster
from modekeeper.gates.kill_switch import NOT_ACTIVE
from modekeeper.model.cluster import ClusterConfigError, ClusterUnreachableError, JsonObject, ObjectRef

MAP = "modekeeper-kill-switch"
SIGNAL = f"configmap:ml/{MAP}"


def with_map(**data: str) -> MemoryCluster:
    cluster = MemoryCluster()
    cluster.put(CONFIG_MAPS, {"metadata": {"name": MAP, "namespace": "ml"}, "data": data})
    return cluster


# A file


def test_a_file_stops_from_when_it_is_made_to_when_it_is_taken_away(tmp_path: Path) -> None:
    place = tmp_path / "stop"
    assert look_at_file(str(place)) == NOT_ACTIVE
    place.touch()
    assert look_at_file(str(place)).signal == f"file:{place}"
    place.write_text("off\n")
    assert look_at_file(str(place)) == NOT_ACTIVE
    place.write_text("on\n")
    assert look_at_file(str(place)).active
    place.unlink()
    assert look_at_file(str(place)) == NOT_ACTIVE


def test_what_cannot_be_read_stops_and_says_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("off")
    reasons = {
        ".": "it is no file",
        "pipe": "it is no file",
        "link": "it is a link to nothing",
        "loop": "too many levels of symbolic links",
        "gone/stop": "its folder is not there",
        "file/stop": "not a directory",
        "a" * 300: "file name too long",
        "nul\0": "embedded null byte",
    }
    for name, why in reasons.items():
        switch = look_at_file(f"{tmp_path}/{name}")
        assert switch.active, name
        assert switch.signal == f"file:{tmp_path}/{name}"
        assert why in switch.detail, (name, switch)


def test_a_file_that_may_not_be_read_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stop").write_text("off")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert "permission denied" in look_at_file(str(tmp_path / "stop")).detail


def test_a_disk_that_breaks_while_reading_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stop").write_text("off")

    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    assert "input/output error" in look_at_file(str(tmp_path / "stop")).detail


# A ConfigMap


def test_a_config_map_stops_unless_it_says_off() -> None:
    assert look_at_config_map(MemoryCluster(), "ml") == NOT_ACTIVE
    assert look_at_config_map(with_map(active="off"), "ml") == NOT_ACTIVE
    assert look_at_config_map(with_map(active="true"), "ml").signal == SIGNAL
    assert look_at_config_map(with_map(), "ml").signal == SIGNAL


@pytest.mark.parametrize("status", [400, 401, 403, 409, 429, 500, 503])
def test_every_answer_but_not_found_stops(status: int) -> None:
    cluster = with_map(active="off")
    cluster.fail("get", cluster.failure(status), times=None)
    switch = look_at_config_map(cluster, "ml")
    assert (switch.active, switch.signal) == (True, SIGNAL)
    assert "it cannot be read, and that stops too" in switch.detail


@pytest.mark.parametrize(
    "error",
    [ClusterUnreachableError("no answer"), ClusterConfigError("no kubeconfig"), KeyError("x"), RecursionError()],
)
def test_no_answer_at_all_stops(error: Exception) -> None:
    cluster = with_map(active="off")
    cluster.fail("get", error, times=None)
    switch = look_at_config_map(cluster, "ml")
    assert (switch.active, switch.signal) == (True, SIGNAL)
    assert switch.detail.isprintable()


def test_no_right_to_look_stops() -> None:
    cluster = MemoryCluster(rules=[])
    assert look_at_config_map(cluster, "ml").active


# All of them


def test_the_first_active_signal_is_named_and_the_next_are_not_asked(tmp_path: Path) -> None:
    cluster, place = with_map(active="on"), tmp_path / "stop"
    place.touch()
    signals = KillSwitchSignals(
        environment={"MODEKEEPER_KILL_SWITCH": "1"}, file=str(place), reader=cluster, namespaces=("ml",)
    )
    assert signals.look().signal == "env:MODEKEEPER_KILL_SWITCH"
    signals = msgspec.structs.replace(signals, environment={})
    assert signals.look().signal == f"file:{place}"
    assert cluster.asked == []
    place.unlink()
    assert signals.look().signal == SIGNAL
    cluster.delete(ObjectRef(CONFIG_MAPS, "ml", MAP))
    assert signals.look() == NOT_ACTIVE


def test_each_namespace_is_looked_at(tmp_path: Path) -> None:
    cluster = with_map(active="on")
    signals = KillSwitchSignals(environment={}, reader=cluster, namespaces=("controller", "ml"))
    assert signals.look().signal == SIGNAL
    assert [about.namespace for _, about in cluster.asked if isinstance(about, ObjectRef)] == ["controller", "ml"]


def test_inside_a_cluster_the_controllers_namespace_counts_too() -> None:
    outside = MemoryCluster(namespace="default").context
    inside = msgspec.structs.replace(outside, name=None, namespace="modekeeper")
    assert switch_namespaces(outside, ["ml", "ml"]) == ("ml",)
    assert switch_namespaces(inside, ["ml"]) == ("ml", "modekeeper")


def test_a_file_made_while_the_config_map_is_read_is_seen(tmp_path: Path) -> None:
    """It takes long to ask a cluster; what is on this machine is looked at last."""
    place = tmp_path / "stop"

    class Slow(MemoryCluster):
        def get(self, ref: ObjectRef) -> JsonObject:
            place.touch()
            return super().get(ref)

    signals = KillSwitchSignals(environment={}, file=str(place), reader=Slow(), namespaces=("ml",))
    assert signals.look().signal == f"file:{place}"
