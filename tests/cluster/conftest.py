"""One cluster for all tests of a session, or one loud line that says what it lacks.

With ``MODEKEEPER_REQUIRE_CLUSTER=1`` the tests fail where they would be skipped.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import pytest
from tests.cluster import fake_nodes
from tests.cluster import node as node_module
from tests.cluster.control_plane import (
    ControlPlane,
    ControlPlaneError,
    find_binaries,
    running_control_plane,
    wait_until,
)
from tests.cluster.fake_nodes import FakeNodes, running_fake_nodes
from tests.cluster.node import Node, running_node
from tests.cluster.verify.on_cluster import CRDS, install_crds

REQUIRED = os.environ.get("MODEKEEPER_REQUIRE_CLUSTER") == "1"


def _plane_lacks() -> str | None:
    try:
        find_binaries()
    except ControlPlaneError as error:
        return str(error)
    return None


LACKS: Mapping[str, Callable[[], str | None]] = {
    "control_plane": _plane_lacks,
    "node": node_module.lacks,
    "kwok": fake_nodes.lacks,
}
"""What says why a fixture cannot be had here, or that it can."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the tests that lack something one is left to be skipped, and to say why; the others are not a line each."""
    if REQUIRED:
        return
    for fixture, lacks in LACKS.items():
        wanting = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        if wanting and lacks() is not None:
            config.hook.pytest_deselected(items=wanting[1:])
            left_out = set(wanting[1:])
            items[:] = [item for item in items if item not in left_out]


def _refuse(config: pytest.Config, reason: str) -> NoReturn:
    said = f"NOT tested against a real Kubernetes: {reason}"
    if REQUIRED:
        pytest.fail(said, pytrace=False)
    # A reason for a skip is shown only to who asks for it.
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{said}", file=sys.stderr, flush=True)
    pytest.skip(said)


def _check(config: pytest.Config, fixture: str) -> None:
    reason = LACKS[fixture]()
    if reason is not None:
        _refuse(config, reason)


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane, shared by the session: a test works in a namespace of its own."""
    _check(pytestconfig, "control_plane")
    with running_control_plane(tmp_path_factory.mktemp("control-plane"), find_binaries()) as plane:
        yield plane


@pytest.fixture(scope="session")
def node(
    pytestconfig: pytest.Config, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A real node of the control plane: what ``workloads.deployment`` places on ``real`` runs there."""
    _check(pytestconfig, "node")
    starting = running_node(control_plane, tmp_path_factory.mktemp("node"))
    try:
        running = starting.__enter__()
    except ControlPlaneError as error:
        _refuse(pytestconfig, str(error))
    try:
        yield running
    finally:
        starting.__exit__(None, None, None)


@pytest.fixture(scope="session")
def kwok(
    pytestconfig: pytest.Config, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeNodes]:
    """One fake node of the control plane, and more where a test adds them: for ``workloads.deployment`` on ``fake``."""
    _check(pytestconfig, "kwok")
    with running_fake_nodes(control_plane, tmp_path_factory.mktemp("kwok")) as nodes:
        yield nodes


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace in which the controllers are at work; what runs in it ends with the test."""
    name = f"test-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert control_plane.request("admin", "/api/v1/namespaces", "POST", body).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: control_plane.request("admin", account).status == 200, f"namespace {name} is usable")
    yield name
    control_plane.request("admin", f"/api/v1/namespaces/{name}", "DELETE")


@pytest.fixture(scope="module")
def custom_kinds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster, with the custom kinds of workload; other tests say what happens where they are not served."""
    install_crds(control_plane)
    yield control_plane
    done = control_plane.kubectl("admin", "delete", "--filename", str(CRDS))
    assert done.returncode == 0, done.stderr
