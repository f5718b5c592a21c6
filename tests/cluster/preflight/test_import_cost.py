"""A preflight is over in about the time of its round trips, so what is slow to import stays out of it."""

import subprocess
import sys

import pytest

SLOW = {"numpy", "rich", "matplotlib", "httpx2", "lightkube", "tempfile", "subprocess", "concurrent.futures", "logging"}
WALK = """
import sys
import modekeeper.cli.main, modekeeper.cli.tree, modekeeper.cli.k8s_preflight
import modekeeper.cluster.opening, modekeeper.cluster.access.finding, modekeeper.cluster.api.transport
import modekeeper.cluster.rest_reader, modekeeper.reports.folder.preflight_run
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    done = subprocess.run([sys.executable, "-c", WALK], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", sorted(SLOW))
def test_what_is_slow_to_import_is_not_imported(imported: set[str], module: str) -> None:
    assert module not in imported


def test_no_other_room_is_dragged_in(imported: set[str]) -> None:
    rooms = {name.split(".")[1] for name in imported if name.startswith("modekeeper.")}
    assert rooms.isdisjoint({"detect", "loop", "telemetry", "modes", "gates", "value"})
