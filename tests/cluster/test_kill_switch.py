"""The ConfigMap of the kill-switch on a real API server: there, off, garbage, gone, and not ours to read."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.conformance.world import Client, RealWorld
from tests.cluster.control_plane import ControlPlane
from tests.cluster.roles.shipped import bind

from modekeeper.cluster.kill_switch import look_at_config_map
from modekeeper.gates.kill_switch import NOT_ACTIVE

MAP = "modekeeper-kill-switch"


@pytest.fixture(params=["api", "kubectl"])
def world(request: pytest.FixtureRequest, control_plane: ControlPlane, namespace: str) -> Iterator[RealWorld]:
    client: Client = request.param
    made = RealWorld(control_plane, namespace, client)
    yield made
    made.close()


def write(plane: ControlPlane, namespace: str, data: dict[str, Any] | None) -> None:
    """Make the ConfigMap say something, as an administrator; ``None`` takes it away."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    plane.request("admin", f"{path}/{MAP}", "DELETE")
    if data is not None:
        answer = plane.request("admin", path, "POST", {"metadata": {"name": MAP}, **data})
        assert answer.status == 201, answer


def test_the_observer_may_look_and_sees_what_it_says(
    control_plane: ControlPlane, world: RealWorld, namespace: str
) -> None:
    bind(control_plane, "observer", namespace, "observer")
    reader = world.opened("observer")
    try:
        assert look_at_config_map(reader, namespace) == NOT_ACTIVE
        for data, active in (
            ({"data": {"active": "true"}}, True),
            ({"data": {"active": "off"}}, False),
            ({"data": {"active": "\u2603 garbage"}}, True),
            ({}, True),
            ({"data": {"active": ""}}, True),
            ({"binaryData": {"active": "b2Zm"}}, True),
            (None, False),
        ):
            write(control_plane, namespace, data)
            switch = look_at_config_map(reader, namespace)
            assert switch.active is active, data
            assert switch.signal == (f"configmap:{namespace}/{MAP}" if active else None)
            assert switch.detail == ""
    finally:
        reader.close()


def test_who_may_not_look_is_stopped(control_plane: ControlPlane, world: RealWorld, namespace: str) -> None:
    write(control_plane, namespace, {"data": {"active": "off"}})
    reader = world.opened("stranger")
    try:
        switch = look_at_config_map(reader, namespace)
    finally:
        reader.close()
    assert (switch.active, switch.signal) == (True, f"configmap:{namespace}/{MAP}")
    assert "it cannot be read, and that stops too" in switch.detail


def test_a_namespace_that_is_not_there_holds_no_switch(world: RealWorld) -> None:
    assert look_at_config_map(world.reader, "no-such-namespace") == NOT_ACTIVE


def test_no_other_config_map_is_open_to_the_observer(control_plane: ControlPlane, namespace: str) -> None:
    bind(control_plane, "observer", namespace, "observer")
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert control_plane.request("observer", f"{path}/{MAP}").status == 404
    assert control_plane.request("observer", f"{path}/kube-root-ca.crt").status == 403
    assert control_plane.request("observer", path).status == 403
