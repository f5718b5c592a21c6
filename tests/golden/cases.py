"""The commands whose artifacts are kept as golden files, and how they are run."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
DATA = HERE.parent / "data" / "observe"
PINNED = "2026-01-31T09:00:00Z"

CASES: dict[str, list[str]] = {
    "observe": ["observe", "--path", "realistic_dirty.jsonl", "--out", "out"],
    "eval": ["eval", "file", "--path", "mixed_env.jsonl", "--gpus", "8", "--gpu-hour-usd", "2.5", "--out", "out"],
    "closed-loop": ["closed-loop", "run", "--observe-path", "drift.jsonl", "--dry-run", "--out", "out"],
    "closed-loop-apply": ["closed-loop", "run", "--observe-path", "straggler.jsonl", "--apply", "--out", "out"],
    "watch": [
        "watch", "--observe-path", "corrupted.jsonl", "--interval", "30s", "--max-iterations", "2", "--out", "out",
    ],
    "doctor": ["doctor", "--out", "out"],
    "quickstart": ["quickstart", "--path", "stable.jsonl", "--out", "out"],
    "chords-validate": ["chords", "validate", "--catalog", "catalog.json", "--out", "out"],
}  # fmt: skip

CATALOG = {
    "schema_version": "chord_catalog.v1",
    "chords": [
        {
            "id": "DRIFT-RETUNE",
            "intent": "loader only",
            "risk_tier": "safe",
            "required_signals": ["drift"],
            "invariants": ["memory_ceiling"],
            "knobs_touched": ["dataloader_prefetch_factor", "timeout_ms"],
        }
    ],
}


def run_case(name: str, folder: Path) -> tuple[int, Path]:
    """Run one case as a process in ``folder``; its exit code and the folder of its artifacts."""
    for source in DATA.glob("*.jsonl"):
        if not (folder / source.name).exists():
            shutil.copy(source, folder)
    (folder / "catalog.json").write_text(json.dumps(CATALOG))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MODEKEEPER", "KUBE"))} | {
        "MODEKEEPER_PINNED_CLOCK": PINNED
    }
    done = subprocess.run(
        [sys.executable, "-m", "modekeeper", *CASES[name]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, folder / "out"


def tree(folder: Path) -> dict[str, bytes]:
    """Relative name to content of every artifact; what differs from machine to machine is left out."""
    files = {}
    for path in sorted(folder.rglob("*")):
        # The checkpoint names inodes; pictures differ with the version of the library that draws them.
        left_out = path.name.startswith(".") or path.name == "watch_state.json" or path.name.startswith("report.")
        if path.is_file() and not left_out:
            data = path.read_bytes()
            if path.name.startswith("doctor") or (
                path.parent.name in {"doctor", "out"} and path.name == "explain.jsonl"
            ):
                data = re.sub(rb'"detail": ?"\d+\.\d+\.\d+"', b'"detail": "a version"', data)
            if path.name.startswith("policy_bundle"):
                bundle = json.loads(data)
                bundle["provenance"] = dict.fromkeys(bundle["provenance"], "…")
                data = (json.dumps(bundle, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()
            files[path.relative_to(folder).as_posix()] = data
    return files


def golden(files: dict[str, bytes]) -> dict[str, bytes]:
    """The artifacts under their lasting names: the ones with a time in their name are the same again."""
    return {name: data for name, data in files.items() if "_20260131T" not in name}


def same(expected: bytes, got: bytes, name: str) -> bool:
    """Equal, but for the last bits of a floating-point number: processors add in different orders."""
    if name.endswith(".json"):
        return alike(json.loads(expected), json.loads(got))
    if name.endswith(".jsonl"):
        lines = expected.splitlines(), got.splitlines()
        return len(lines[0]) == len(lines[1]) and all(
            alike(json.loads(a), json.loads(b)) for a, b in zip(*lines, strict=True)
        )
    return expected == got


def alike(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            alike(value, right[key]) for key, value in left.items() if "digest" not in key and key != "sha256"
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return bool(left == right)
