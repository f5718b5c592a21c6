"""The evidence of the quickstart is what the product does today."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.golden.cases import same

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "docs" / "evidence" / "quickstart"
TRACE = EVIDENCE / "observe_mixed_env.jsonl"
BY_HAND = {"README.md", "reproduce.sh", "observe_mixed_env.jsonl"}
MK = Path(sys.executable).parent / "mk"


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("MODEKEEPER")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("eval")
    done = subprocess.run(
        [MK, "eval", "file", "--path", TRACE, "--out", out],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "NORMAL" in done.stdout
    loaded: dict[str, Any] = json.loads((out / "eval_latest.json").read_text(encoding="utf-8"))
    return loaded


def test_a_mixed_environment_is_called_unstable(report: dict[str, Any]) -> None:
    assert report["environment"]["unstable"] is True
    assert report["environment"]["nodes_seen"] == ["node-a", "node-b"]
    assert report["environment"]["gpu_models_seen"] == ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"]


def test_every_record_is_accounted_for(report: dict[str, Any]) -> None:
    lines = len(TRACE.read_text(encoding="utf-8").splitlines())
    assert report["sample_count"] == lines
    assert report["observe_ingest"]["read_total"] == report["observe_ingest"]["accepted_total"] == lines
    assert report["telemetry_points_included"] is True


def test_the_only_signal_is_the_environment(report: dict[str, Any]) -> None:
    notes = report["signals"].pop("notes")
    assert notes == sorted(notes)
    assert "worker_latencies_missing" in notes
    assert {name for name, seen in report["signals"].items() if seen} == {"heterogeneous_environment"}
    assert {"drift", "burst", "straggler"} <= set(report["signals"])


def test_a_healthy_job_needs_no_change(report: dict[str, Any]) -> None:
    assert report["schema_version"] == "eval.v0"
    assert report["mode"] == "NORMAL"
    assert report["proposed_actions_count"] == 0
    assert report["opportunity_hours_est"] == 0
    assert report["opportunity_assumptions"]


def test_the_committed_artifacts_are_current(tmp_path: Path) -> None:
    subprocess.run(
        ["bash", EVIDENCE / "reproduce.sh", tmp_path],
        env=environment() | {"MK": str(MK)},
        capture_output=True,
        text=True,
        check=True,
    )
    made = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(EVIDENCE).as_posix(): path for path in EVIDENCE.rglob("*") if path.is_file()}
    assert sorted(made) == sorted(set(kept) - BY_HAND)
    stale = [name for name in made if not same(kept[name].read_bytes(), made[name].read_bytes(), name)]
    assert stale == [], "bash docs/evidence/quickstart/reproduce.sh writes them anew; read the difference first"


def test_the_folder_is_small_enough_to_mail() -> None:
    assert sum(path.stat().st_size for path in EVIDENCE.rglob("*") if path.is_file()) < 300_000


def test_the_script_stops_at_errors_and_names_no_place_of_a_machine() -> None:
    text = (EVIDENCE / "reproduce.sh").read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert "MODEKEEPER_PINNED_CLOCK=" in text
    for path in EVIDENCE.rglob("*"):
        if path.is_file():
            assert "/tmp" not in path.read_text(encoding="utf-8")  # noqa: S108 - looked for, not used


def test_the_outputs_pasted_into_the_quickstart_are_those_of_today(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "QUICKSTART.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    pasted = [line for language, body in blocks if not language for line in body.splitlines()]
    shutil.copy(ROOT / "tests" / "data" / "observe" / "drift.jsonl", tmp_path / "run.jsonl")
    said = ""
    for words in (
        "quickstart --out report/quickstart",
        "plan --observe-path run.jsonl --k8s-namespace ml --k8s-deployment trainer --out report/quickstart_plan",
        "closed-loop run --observe-path run.jsonl --apply --out report/quickstart_apply",
    ):
        assert f"mk {words}\n" in page
        done = subprocess.run(
            [MK, *words.split()], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
        said += done.stdout + done.stderr
    assert len(pasted) > 5
    assert [line for line in pasted if line not in said.splitlines()] == []
