"""``bin/mk-demo-safety-gates``: every case stops with its reason, and a gate that does not stop is noticed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bin" / "mk-demo-safety-gates"


def run(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    program = folder / "my-mk"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), str(folder / "out")],
        cwd=folder,
        env={**os.environ, "MK": str(program)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_each_gate_stops_with_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path, f'exec {sys.executable} -m modekeeper "$@"')
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "license_not_there 2 license_invalid",
        "license_unknown_key 2 license_invalid",
        "verify_missing 2 verify_missing",
        "verify_failed 2 verify_failed",
        "kill_switch 2 kill_switch_active",
        "kill_switch_file 2 kill_switch_active",
    ]


def test_each_licence_is_refused_for_its_own_reason(tmp_path: Path) -> None:
    assert run(tmp_path, f'exec {sys.executable} -m modekeeper "$@"').returncode == 0
    for name, code, kid in (
        ("license_not_there", "license_file_unreadable", None),
        ("license_unknown_key", "kid_unknown", "nobody-1"),
    ):
        report = json.loads((tmp_path / "out" / name / "license_verify_latest.json").read_text())
        assert (report["license_ok"], report["reason_code"]) == (False, "license_invalid")
        assert (report["failure_code"], report["kid"]) == (code, kid)


def test_a_licence_that_is_refused_for_another_reason_is_noticed(tmp_path: Path) -> None:
    dropped = 'if [ "$1" = license ]; then set -- license verify --out "$6"; fi'
    done = run(tmp_path, f'{dropped}\nexec {sys.executable} -m modekeeper "$@"')
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "license_not_there 2 none"
    report = json.loads((tmp_path / "out" / "license_not_there" / "license_verify_latest.json").read_text())
    assert report["reason_code"] == "license_missing"
    assert "a gate did not do what it is for" in done.stderr


def test_a_gate_that_lets_pass_is_noticed(tmp_path: Path) -> None:
    done = run(tmp_path, "exit 0")
    assert done.returncode == 1
    assert "verify_failed 0 none" in done.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_is_clean() -> None:
    assert subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, check=False).stdout == b""
