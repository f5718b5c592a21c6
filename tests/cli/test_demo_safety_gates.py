"""``bin/mk-demo-safety-gates``: every case stops with its reason, and a gate that does not stop is noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.installed_pro import installed_pro

SCRIPT = Path(__file__).parents[2] / "bin" / "mk-demo-safety-gates"


def run(folder: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = folder / "my-mk"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), str(folder / "out")],
        cwd=folder,
        env={**os.environ, "MK": str(program), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("installed", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_each_gate_stops_with_its_reason(tmp_path: Path, installed: bool) -> None:
    (tmp_path / "pro").mkdir()
    environment = installed_pro(tmp_path / "pro") if installed else {}
    done = run(tmp_path, f'exec {sys.executable} -m modekeeper "$@"', **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "licence_missing 2 license_invalid",
        "licence_unknown_kid 2 license_invalid",
        "verify_missing 2 verify_missing",
        "verify_failed 2 verify_failed",
        "kill_switch 2 kill_switch_active",
        "kill_switch_file 2 kill_switch_active",
    ]


def test_a_gate_that_lets_pass_is_noticed(tmp_path: Path) -> None:
    done = run(tmp_path, "exit 0")
    assert done.returncode == 1
    assert "verify_failed 0 none" in done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_is_clean() -> None:
    assert subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, check=False).stdout == b""
