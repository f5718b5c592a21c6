"""Quickstart asks a cluster only where one answers, and changes nothing there."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.cli.test_commands import mk

from modekeeper.cli.cluster_question import ask_cluster, cluster_answers

DATA = Path(__file__).parents[1] / "data" / "observe"

KUBECTL = """#!{python}
import json, os, sys
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
words = sys.argv[1:]
if words[0] == "version":
    if os.environ.get("CLUSTER") == "none":
        sys.exit("connection refused")
    print(json.dumps({{"serverVersion": {{"gitVersion": os.environ.get("CLUSTER", "v1.35.0")}}}}))
elif words[0] == "get" and any("matchLabels" in word for word in words):
    print("app=trainer,")
elif words[0] == "get":
    print("trainer-0")
elif os.environ.get("DENY"):
    sys.exit('Error from server (Forbidden): cannot patch\\x1b[31m "trainer"')
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "drift.jsonl", tmp_path / "run.jsonl")
    kubectl = tmp_path / "kubectl-of-the-test"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    return tmp_path


def verify_stage(folder: Path, *words: str, **environment: str) -> tuple[dict[str, str], list[list[str]]]:
    calls = folder / "calls"
    given = {"KUBECTL": str(folder / "kubectl-of-the-test"), "CALLS": str(calls), **environment}
    done = mk("quickstart", "--path", "run.jsonl", "--out", "qs", *words, cwd=folder, stdin=None, **given)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    stages = json.loads((folder / "qs/quickstart_latest.json").read_text())["stages"]
    made = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
    return next(stage for stage in stages if stage["name"] == "verify"), made


def test_every_write_is_a_server_side_dry_run(folder: Path) -> None:
    stage, calls = verify_stage(folder)
    assert stage["status"] == "done"
    assert "would accept" in stage["detail"]
    patches = [words for words in calls if words[0] not in {"version", "get"}]
    assert patches
    assert all("--dry-run=server" in words for words in patches)


def test_a_refusal_is_told_in_its_own_words(folder: Path) -> None:
    stage, _ = verify_stage(folder, DENY="1")
    assert stage["status"] == "done"
    assert "not accepted" in stage["detail"]
    assert "Forbidden" in stage["detail"]


def test_without_an_answer_nothing_more_is_asked(folder: Path) -> None:
    stage, calls = verify_stage(folder, CLUSTER="none")
    assert stage == {"artifacts": [], "detail": "no cluster answered", "name": "verify", "status": "skipped"}
    assert [words[0] for words in calls] == ["version"]


def test_an_empty_plan_asks_nobody(folder: Path) -> None:
    shutil.copy(DATA / "stable.jsonl", folder / "run.jsonl")
    stage, calls = verify_stage(folder)
    assert stage["status"] == "skipped"
    assert calls == []


def test_the_kill_switch_stops_even_the_question(folder: Path) -> None:
    stage, calls = verify_stage(folder, MODEKEEPER_KILL_SWITCH="1")
    assert stage["status"] == "skipped"
    assert "MODEKEEPER_KILL_SWITCH" in stage["detail"]
    assert calls == []


def test_a_person_may_ask_that_no_cluster_be_asked(folder: Path) -> None:
    stage, calls = verify_stage(folder, "--no-verify")
    assert stage["status"] == "skipped"
    assert calls == []


def test_no_kubectl_is_no_cluster() -> None:
    assert cluster_answers({"PATH": "/nonexistent"}) is None


def test_no_bash_is_no_acceptance(tmp_path: Path) -> None:
    assert ask_cluster(tmp_path / "script.sh", {"PATH": "/nonexistent"}) == (False, "bash is not installed")


def test_nonsense_from_kubectl_is_no_cluster(tmp_path: Path) -> None:
    for text in ("", "[]", '{"serverVersion": 3}', "{" * 10_000):
        kubectl = tmp_path / "kubectl"
        kubectl.write_text(f"#!/bin/sh\ncat <<'X'\n{text}\nX\n")
        kubectl.chmod(0o755)
        assert cluster_answers({"PATH": f"{tmp_path}:{os.environ['PATH']}"}) is None
