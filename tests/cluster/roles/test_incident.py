"""The incident of ``docs/evidence/`` on a real cluster: it happens as recorded, and a replay is the live run again."""

import json
from pathlib import Path
from typing import Any

from tests.cluster import audit
from tests.cluster.control_plane import ControlPlane
from tests.cluster.roles.record_incident import mk, record

EVIDENCE = Path(__file__).parents[3] / "docs" / "evidence" / "rbac_patch_denied"


def test_a_replay_writes_the_bytes_of_the_live_run(control_plane: ControlPlane, tmp_path: Path) -> None:
    since = audit.position(control_plane)
    record(control_plane, tmp_path)
    assert audit.mutations(control_plane, "observer", since) == []
    assert (tmp_path / "k8s_plan.json").read_bytes() == (EVIDENCE / "k8s_plan.json").read_bytes()

    (tmp_path / "live").rename(tmp_path / "kept")
    nowhere = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    preflight = ("k8s", "preflight", "--k8s-namespace", "research", "--out", "live/preflight")
    mk(tmp_path, nowhere, 0, *preflight, "--replay-cluster", "preflight_cluster.jsonl")
    verify = ("k8s", "verify", "--plan", "k8s_plan.json", "--out", "live/verify")
    mk(tmp_path, nowhere, 2, *verify, "--replay-cluster", "verify_cluster.jsonl")
    for name in ("preflight_latest.json", "preflight_summary.md", "explain.jsonl"):
        assert (tmp_path / "live/preflight" / name).read_bytes() == (tmp_path / "kept/preflight" / name).read_bytes()
    live, kept = (report(tmp_path / folder / "verify") for folder in ("live", "kept"))
    # What depends on the kubectl of the machine, and the digest over it.
    for each in (live, kept):
        del each["diagnostics"]["kubectl_version"], each["verification_digest"]
    assert live == kept


def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "k8s_verify_latest.json").read_bytes())
    return loaded
