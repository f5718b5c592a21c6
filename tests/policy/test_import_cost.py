"""A command that only needs the catalog must not wait for numbers or pictures."""

import json
import subprocess
import sys

import pytest

HEAVY = {"numpy", "rich", "click", "matplotlib", "modekeeper.model.block"}


@pytest.mark.parametrize(
    "module",
    [
        "modekeeper.policy.catalog",
        "modekeeper.policy.choose",
        "modekeeper.gates.apply",
        "modekeeper.planning.parse",
        "modekeeper.planning.kubectl_script",
        "modekeeper.planning.undo",
    ],
)
def test_deciding_loads_nothing_heavy(module: str) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(done.stdout))
