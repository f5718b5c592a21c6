"""The recorded hot applies: digests hold, decisions and verdicts come out again, and they say what is claimed."""

import gzip
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from modekeeper.artifacts.canonical import json_line
from modekeeper.cli.clocks import SystemClock
from modekeeper.cli.sources import opened
from modekeeper.cli.telemetry_options import TelemetryChoice
from modekeeper.loop.engine import Engine
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.block import SampleBlock
from modekeeper.model.decision import Target
from modekeeper.planning.parse import parse_plan
from modekeeper.policy.catalog import load_default

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "docs" / "evidence" / "hot_apply_on_a_real_node"
CASES = ["helps", "harms"]
KNOB = "dataloader_prefetch_factor"
KEY = f"modekeeper/knob.{KNOB}"
BY_HAND = {"README.md", "reproduce.sh", "SHA256SUMS"}


def held(name: str) -> Any:
    return json.loads((EVIDENCE / name).read_bytes())


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EVIDENCE / name).read_text().splitlines()]


def told(case: str, event: str) -> list[dict[str, Any]]:
    return [each["payload"] for each in lines(f"{case}/explain.jsonl") if each["event"] == event]


def files() -> list[Path]:
    return [path for path in EVIDENCE.rglob("*") if path.is_file()]


def seen(case: str) -> dict[str, dict[str, Any]]:
    return {each["what"]: each for each in held(f"{case}/cluster.json")["seen"]}


def ours(look: dict[str, Any]) -> dict[str, Any]:
    return {name: look[name] for name in ("pod_annotations", "deployment_annotations", "template")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hot-apply")
    mk = folder / "mk"
    mk.write_text(f'#!/bin/sh\nexec {sys.executable} -m modekeeper "$@"\n')
    mk.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MODEKEEPER", "KUBE"))}
    done = subprocess.run(
        ["bash", EVIDENCE / "reproduce.sh", folder / "out"],
        env=environment | {"MK": str(mk), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.parametrize("case", CASES)
def test_the_recording_gives_the_applied_plan_and_the_committed_bytes(case: str, made: Path) -> None:
    names = sorted(path.name for path in (made / case / "replay").iterdir())
    assert names == ["eval_summary.md", "k8s_plan.json"]
    for name in names:
        assert (made / case / "replay" / name).read_bytes() == (EVIDENCE / case / "replay" / name).read_bytes(), name


def test_every_recorded_file_has_its_digest() -> None:
    listed = {line.split("  ")[1] for line in (EVIDENCE / "SHA256SUMS").read_text().splitlines()}
    names = {path.relative_to(EVIDENCE).as_posix() for path in files()}
    assert listed == {name for name in names - BY_HAND if "/replay/" not in name}


def recorded(case: str, folder: Path) -> list[SampleBlock]:
    """Every sample of the recording."""
    raw = folder / "raw.jsonl"
    raw.write_bytes(gzip.decompress((EVIDENCE / case / "raw.jsonl.gz").read_bytes()))
    stop = threading.Event()
    with opened(TelemetryChoice(paths=(str(raw),)), SystemClock()) as telemetry:
        return [*telemetry.source.blocks(stop), *telemetry.source.flush()]


def between(blocks: list[SampleBlock], start: int, stop: int) -> Iterator[SampleBlock]:
    """The samples from one index up to another."""
    for block in blocks:
        first = block.first_index
        part = block.part(max(start - first, 0), min(max(stop - first, 0), len(block)))
        if len(part):
            yield part


@pytest.mark.parametrize("case", CASES)
def test_the_whole_session_is_decided_again_to_the_byte(case: str, tmp_path: Path) -> None:
    """The engine, given the recording and the sample at which the plan was applied, judges as it did then."""
    blocks = recorded(case, tmp_path)
    (applied,) = told(case, "plan_applied")
    plan = parse_plan((EVIDENCE / case / "applied" / "k8s_plan.json").read_bytes())
    target = Target(namespace=plan.items[0].namespace, kind=plan.items[0].kind, name=plan.items[0].name)
    engine = Engine(LoopSettings(target=target, catalog=load_default()), measuring=True)
    trace, at = [], 0
    for iteration in told(case, "iteration_finished"):
        before, at = at, at + iteration["samples"]
        if at == before:
            trace.append(engine.no_data())
        trace += [event for block in between(blocks, before, at) for event in engine.feed(block)]
        if iteration["iteration"] == applied["iteration"]:
            assert engine.state.plan == plan
            prepared = engine.prepared(plan, engine.state.standing)
            assert prepared is not None
            engine.applied(prepared)
    live = (EVIDENCE / case / "decision_trace_latest.jsonl").read_bytes()
    assert b"".join(json_line(event) for event in trace) == live


def test_what_helped_was_measured_and_stayed() -> None:
    (plan,) = held("helps/watch_apply.json")["plans"]
    (effect,) = told("helps", "effect_measured")
    assert plan["knobs"] == {KNOB: "3"}
    assert (plan["fate"], effect["state"], effect["metric"], effect["samples"]) == (
        "standing",
        "kept",
        "step_time_ms",
        200,
    )
    assert effect["improvement"] > 0.2 > plan["outcome"]["promise"]["at_least_rel"]


def test_what_harmed_was_undone_by_itself_and_says_why() -> None:
    (plan,) = held("harms/watch_apply.json")["plans"]
    (back,) = told("harms", "rolled_back")
    assert (plan["fate"], plan["outcome"]["state"]) == ("taken_back", "worse")
    assert back["improvement"] < -0.2
    assert back["reason"] in plan["outcome"]["detail"]
    assert back["cooldown_factor"] == {"DRIFT-RETUNE": 2}
    report = held("harms/undone/k8s_apply_latest.json")
    assert (report["operation"], report["apply_ok"], report["license"]) == ("rollback", True, None)


@pytest.mark.parametrize(("case", "last"), [("helps", "taken back by hand"), ("harms", "undone by itself")])
def test_the_pod_told_the_value_without_a_restart_and_everything_came_back(case: str, last: str) -> None:
    looks = seen(case)
    begins, changed, ends = looks["begins"], looks["the pod tells the new value"], looks[last]
    assert changed["pod"] == begins["pod"]
    assert [look["log"]["knobs"][KNOB] for look in (begins, changed, ends)] == [2, 3, 2]
    assert (changed["pod_annotations"][KEY], changed["deployment_annotations"][KEY]) == ("3", "3")
    assert changed["template"] == begins["template"]
    assert ours(ends) == ours(begins)
    assert {look["restarts"] for look in looks.values()} == {0}


@pytest.mark.parametrize("case", CASES)
def test_the_value_was_in_the_log_within_seconds_of_the_write(case: str) -> None:
    (item,) = held(f"{case}/applied/k8s_apply_latest.json")["items"]
    written = datetime.fromisoformat(item["pods"][0]["receipt"]["written_at"])
    raw = gzip.decompress((EVIDENCE / case / "raw.jsonl.gz").read_bytes()).decode()
    entries = [json.loads(line) for line in raw.splitlines()[1:]]
    steps = [json.loads(each["log"].partition(" ")[2]) for each in entries if each["entry"] == "line"]
    first = next(step for step in steps if step["knobs"][KNOB] == 3)
    assert 0 < first["ts_ms"] / 1000 - written.timestamp() < 60


def test_a_new_pod_was_given_the_value() -> None:
    new = seen("helps")["a new pod tells the value"]
    assert new["pod"]["uid"] != seen("helps")["begins"]["pod"]["uid"]
    assert (new["pod_annotations"][KEY], new["log"]["knobs"][KNOB]) == ("3", 3)
    assert new["template"]["annotations"][KEY] == "2"
    (given,) = told("helps", "pod_given_again")
    assert given["pods"] == [new["pod"]["name"]]


@pytest.mark.parametrize("case", CASES)
def test_each_write_that_the_api_server_saw_has_its_receipt(case: str) -> None:
    writes = held(f"{case}/cluster.json")["writes"]
    assert {(each["verb"], each["status"]) for each in writes} == {("patch", 200)}
    receipts = [json.loads(path.read_bytes()) for path in (EVIDENCE / case / "door").rglob("receipts/*.json")]
    assert len(receipts) == len(writes) > 3
    for receipt in receipts:
        assert set(receipt["before"]) == set(receipt["after"]) == {KEY}


def test_it_holds_no_credential_and_no_machine() -> None:
    for path in files():
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().lower()
        for word in (
            "bearer",
            "authorization:",
            "client-key",
            "password",
            "begin certificate",
        ):
            assert word not in text, (path.name, word)
        assert re.search(r"(?<![\w./])/(work|root|tmp|home)/", text) is None, path.name


def test_the_folder_is_small_enough_to_mail() -> None:
    assert sum(path.stat().st_size for path in files()) < 300_000


@pytest.mark.parametrize("case", CASES)
def test_the_page_says_what_was_measured(case: str) -> None:
    (plan,) = held(f"{case}/watch_apply.json")["plans"]
    assert f"`{plan['outcome']['detail']}`" in (EVIDENCE / "README.md").read_text()
