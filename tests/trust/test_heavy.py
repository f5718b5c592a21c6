"""Long runs at their full counts: ``make test-heavy``."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.trust.test_properties import accepted, mutated, same_meaning

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(os.environ.get("MODEKEEPER_TEST_HEAVY") != "1", reason="set MODEKEEPER_TEST_HEAVY=1"),
]

ROOT = Path(__file__).parents[2]
FUZZ_RUNS = 200_000


@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=mutated())
def test_twenty_thousand_edited_licences(data: bytes) -> None:
    if accepted(data):
        assert same_meaning(data)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (make test-heavy)")
def test_coverage_guided_fuzzing_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trust.fuzz_trust", str(FUZZ_RUNS)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {FUZZ_RUNS} runs" in done.stderr
