"""Recorded telemetry, clean and dirty, through the whole loop."""

import json
from pathlib import Path
from typing import Any

import pytest

from modekeeper.cli.main import main

DATA = Path(__file__).parents[1] / "data" / "observe"
TRACES = sorted(path.stem for path in DATA.glob("*.jsonl"))
DIRTY = {"corrupted", "duplicates", "out_of_order", "realistic_dirty"}
MODES = {
    "stable": "NORMAL",
    "drift": "DRIFT",
    "straggler": "STRAGGLER",
    "sparse": "NORMAL",
    "out_of_order": "NORMAL",
}


def replay(words: list[str], trace: str, out: Path) -> dict[str, Any]:
    code = main([*words, "--observe-path", str(DATA / f"{trace}.jsonl"), "--out", str(out)])
    assert code == 0
    name = "watch_latest.json" if "watch" in words else "closed_loop_latest.json"
    report: dict[str, Any] = json.loads((out / name).read_text())
    return report


@pytest.mark.parametrize("trace", TRACES)
def test_a_run_ends_with_whole_artifacts_whatever_it_read(trace: str, tmp_path: Path) -> None:
    report = replay(["closed-loop", "run", "--dry-run"], trace, tmp_path)
    assert report["schema_version"] == "v0"
    assert type(report["duration_s"]) is int
    assert (report["dry_run"], report["apply_requested"], report["apply_attempted"]) == (True, False, False)
    ingest = report["observe_ingest"]
    assert ingest["read_total"] == ingest["accepted_total"] + ingest["dropped_total"]
    assert ingest["dropped_total"] == sum(ingest["dropped_by_reason"].values())
    assert ingest["read_total"] == len((DATA / f"{trace}.jsonl").read_bytes().splitlines())
    assert (ingest["dropped_total"] > 0) == (trace in DIRTY), trace
    if trace in MODES:
        assert report["mode"] == MODES[trace]
    for name in (
        "k8s_plan.json",
        "k8s_plan.kubectl.sh",
        "summary.md",
        "explain.jsonl",
        "policy_bundle_latest.json",
    ):
        assert (tmp_path / name).stat().st_size > 0
    events = [json.loads(line) for line in (tmp_path / "decision_trace_latest.jsonl").read_text().splitlines()]
    assert [event["tick"] for event in events] == list(range(1, len(events) + 1))
    assert report["audit_trace"]["events"] == len(events)


@pytest.mark.parametrize("trace", TRACES)
def test_a_watch_comes_to_the_decision_of_the_run(trace: str, tmp_path: Path) -> None:
    once = replay(["closed-loop", "run"], trace, tmp_path / "run")
    rolled = replay(["watch", "--interval", "0s", "--max-iterations", "2"], trace, tmp_path / "watch")
    assert rolled["observe_ingest"] == once["observe_ingest"]
    assert rolled["mode"] == once["mode"]
    assert rolled["chord"] == once["chord"]
    assert rolled["environment"] == once["environment"]
    last = json.loads(Path(rolled["artifact_paths"]["last_iteration_report_path"]).read_text())
    assert last["k8s_plan_digest"] == once["k8s_plan_digest"]


def test_a_healthy_job_is_left_alone(tmp_path: Path) -> None:
    report = replay(["plan"], "stable", tmp_path)
    assert report["proposed_actions_count"] == 0
    assert "kubectl" not in (tmp_path / "k8s_plan.kubectl.sh").read_text()


def test_a_straggler_raises_a_timeout_change_that_waits_for_approval(tmp_path: Path) -> None:
    report = replay(["plan"], "straggler", tmp_path)
    actions = {a["knob"]: d for d in report["decisions"] for a in d["proposal"]["actions"]}
    assert actions["timeout_ms"]["blocked_reason"] == "approval_required"
    assert "timeout_ms" not in (tmp_path / "k8s_plan.json").read_text()
    approved = replay(["plan", "--approve-advanced"], "straggler", tmp_path / "approved")
    assert "timeout_ms" in approved["changed_knobs"]


def test_a_mixed_environment_is_seen(tmp_path: Path) -> None:
    report = replay(["plan"], "mixed_env", tmp_path)
    assert report["environment"]["unstable"] is True
    assert len(report["environment"]["nodes_seen"]) > 1
    assert all("ts_ms" in point for point in report["telemetry"]["points"])
    assert {point.get("node") for point in report["telemetry"]["points"]} >= set(report["environment"]["nodes_seen"])


def test_chord_and_scalar_differ_as_they_should(tmp_path: Path) -> None:
    chord = replay(["plan", "--policy", "chord"], "straggler", tmp_path / "chord")
    scalar = replay(["plan", "--policy", "scalar"], "straggler", tmp_path / "scalar")
    again = replay(["plan", "--policy", "scalar"], "straggler", tmp_path / "again")
    assert scalar["proposed_actions_count"] <= 1
    assert [d["proposal"]["policy"] for d in chord["decisions"]] == ["chord"] * len(chord["decisions"])
    assert scalar["decisions"] == again["decisions"]


def test_a_small_limit_leaves_no_step(tmp_path: Path) -> None:
    report = replay(["plan", "--max-delta-per-step", "0.1"], "drift", tmp_path)
    assert report["proposed_actions_count"] == 0
    notes = [note for d in report["decisions"] for note in d["proposal"]["notes"]]
    assert any(note.startswith("limited_to_no_step") for note in notes)
