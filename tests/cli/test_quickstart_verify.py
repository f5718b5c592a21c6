"""Quickstart asks a cluster only where one answers; what a real one says is in tests/cluster."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from tests.cli.test_commands import mk

DATA = Path(__file__).parents[1] / "data" / "observe"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "drift.jsonl", tmp_path / "run.jsonl")
    return tmp_path


def verify_stage(folder: Path, *words: str, **environment: str) -> dict[str, str]:
    done = mk(
        "quickstart",
        "--path",
        "run.jsonl",
        "--out",
        "qs",
        *words,
        cwd=folder,
        stdin=None,
        HOME=str(folder),
        **environment,
    )
    assert done.returncode == 0, done.stderr
    stages = json.loads((folder / "qs/quickstart_latest.json").read_text())["stages"]
    stage: dict[str, str] = next(stage for stage in stages if stage["name"] == "verify")
    return stage


def kubeconfig(folder: Path, server: str) -> str:
    place = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    place.write_text(json.dumps(config))
    return str(place)


def test_without_a_kubeconfig_nobody_is_asked(folder: Path) -> None:
    stage = verify_stage(folder)
    assert stage["status"] == "skipped"
    assert stage["detail"].startswith("no cluster to ask: ")


def test_a_cluster_that_does_not_answer_is_none(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stage = verify_stage(folder, KUBECONFIG=kubeconfig(folder, f"https://127.0.0.1:{port}"))
    assert stage["status"] == "skipped"
    assert stage["detail"].startswith("no cluster answered: ")
    report = json.loads((folder / "qs/verify/k8s_verify_latest.json").read_text())
    assert report["verify_blocker"]["kind"] == "client_unavailable"


def test_an_empty_plan_asks_nobody(folder: Path) -> None:
    shutil.copy(DATA / "stable.jsonl", folder / "run.jsonl")
    stage = verify_stage(folder, KUBECONFIG=kubeconfig(folder, "https://127.0.0.1:1"))
    assert (stage["status"], stage["detail"]) == ("skipped", "the plan is empty: nothing to verify")


def test_a_person_may_ask_that_no_cluster_be_asked(folder: Path) -> None:
    stage = verify_stage(folder, "--no-verify", KUBECONFIG=kubeconfig(folder, "https://127.0.0.1:1"))
    assert stage["status"] == "skipped"
    assert not (folder / "qs/verify").exists()
