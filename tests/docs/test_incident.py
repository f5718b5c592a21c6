"""The recorded incident replays to the bytes that are in the repository, and they say what the playbook says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "docs" / "evidence" / "rbac_patch_denied"
RECORDED = {"README.md", "reproduce.sh", "k8s_plan.json", "preflight_cluster.jsonl", "verify_cluster.jsonl"}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("incident")
    mk = folder / "mk"
    mk.write_text(f'#!/bin/sh\nexec {sys.executable} -m modekeeper "$@"\n')
    mk.chmod(0o755)
    # Nothing here leads to a cluster: what is said comes from the recording.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MODEKEEPER", "KUBE"))}
    done = subprocess.run(
        ["bash", EVIDENCE / "reproduce.sh", folder / "out"],
        env=environment | {"MK": str(mk), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return files(folder / "out")


def test_the_replay_gives_the_committed_bytes(made: dict[str, bytes]) -> None:
    kept = {name: data for name, data in files(EVIDENCE).items() if name not in RECORDED}
    assert sorted(made) == sorted(kept)
    stale = [name for name, data in made.items() if kept[name] != data]
    assert stale == [], "bash docs/evidence/rbac_patch_denied/reproduce.sh writes them anew; read the difference first"


def test_the_verification_says_which_rule_is_missing_and_the_preflight_agrees(made: dict[str, bytes]) -> None:
    verify: dict[str, Any] = json.loads(made["verify/k8s_verify_latest.json"])
    assert (verify["ok"], verify["verify_blocker"]["kind"]) == (False, "rbac_denied")
    assert verify["diagnostics"]["auth_can_i_get_deployments"] is True
    assert verify["diagnostics"]["auth_can_i_patch_deployments"] is False
    (item,) = verify["items"]
    assert item["effect"]["effect"] == "hot"
    preflight: dict[str, Any] = json.loads(made["preflight/preflight_latest.json"])
    assert (preflight["ok"], preflight["top_blocker"]) == (True, None)
    (check,) = [check for check in preflight["checks"] if check["name"] == "verify_access"]
    assert check["status"] == "note"
    assert check["role_yaml"] == verify["role_yaml"]
    assert 'verbs: ["patch"]' in verify["role_yaml"]


def test_the_recordings_hold_no_credential() -> None:
    for name in RECORDED:
        text = (EVIDENCE / name).read_text(encoding="utf-8").lower()
        for word in ("bearer", "authorization:", "client-key", "password", "begin certificate", "begin private"):
            assert word not in text, (name, word)
        assert '"kind":"secret"' not in text


def test_the_folder_is_small_enough_to_mail() -> None:
    assert sum(len(data) for data in files(EVIDENCE).values()) < 200_000
