"""One control plane for all tests of a session, or one loud line that says how to get its programs."""

import secrets
import sys
from collections.abc import Iterator

import pytest
from tests.cluster.control_plane import (
    ControlPlane,
    ControlPlaneError,
    find_binaries,
    running_control_plane,
    wait_until,
)


def _lack() -> str | None:
    try:
        find_binaries()
    except ControlPlaneError as error:
        return f"NOT tested against a real Kubernetes: {error}"
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the programs one test is left to be skipped, and to say why; the others are not a line each."""
    wanting = [item for item in items if "control_plane" in getattr(item, "fixturenames", ())]
    if not wanting or _lack() is None:
        return
    left_out = wanting[1:]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane, shared by the session: a test works in a namespace of its own."""
    lack = _lack()
    if lack is not None:
        # A reason for a skip is shown only to who asks for it.
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{lack}", file=sys.stderr, flush=True)
        pytest.skip(lack)
    with running_control_plane(tmp_path_factory.mktemp("control-plane"), find_binaries()) as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A new namespace in which the controllers are at work."""
    name = f"test-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert control_plane.request("admin", "/api/v1/namespaces", "POST", body).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_until(lambda: control_plane.request("admin", account).status == 200, f"namespace {name} is usable")
    return name
