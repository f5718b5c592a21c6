"""One stage for all tests of the door that need one: it is at rest when a test begins."""

import secrets
from collections.abc import Iterator

import pytest
from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.door.stages import Stage, Workload, staged

WORKLOADS: tuple[Workload, ...] = (
    ("Deployment", "a"),
    ("Deployment", "b"),
    ("Deployment", "c"),
    ("StatefulSet", "d"),
    ("StatefulSet", "e"),
    ("Job", "f"),
)


@pytest.fixture(scope="module")
def stage(control_plane: ControlPlane) -> Iterator[Stage]:
    """Six workloads of three kinds, made once for the tests of a file."""
    yield from _stage(control_plane, WORKLOADS)


@pytest.fixture
def at_rest(stage: Stage) -> Iterator[Stage]:
    """The stage as it was made, also after the test."""
    yield stage
    stage.reset()


def _stage(plane: ControlPlane, workloads: tuple[Workload, ...]) -> Iterator[Stage]:
    name = f"stage-{secrets.token_hex(4)}"
    assert plane.request("admin", "/api/v1/namespaces", "POST", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: plane.request("admin", account).status == 200, f"namespace {name} is usable")
    with staged(plane, name, workloads) as made:
        yield made
    plane.request("admin", f"/api/v1/namespaces/{name}", "DELETE")
