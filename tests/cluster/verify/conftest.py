"""What only the tests of verify need of a cluster."""

from collections.abc import Iterator

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.verify.on_cluster import CRDS, install_crds


@pytest.fixture(scope="module")
def custom_kinds(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster, with the custom kinds of workload; other tests say what happens where they are not served."""
    install_crds(control_plane)
    yield control_plane
    done = control_plane.kubectl("admin", "delete", "--filename", str(CRDS))
    assert done.returncode == 0, done.stderr
