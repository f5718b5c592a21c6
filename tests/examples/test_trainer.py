"""The example trainer by itself: its knobs, its bad days, and that what it learns does not depend on them."""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = Path(__file__).parents[2] / "examples" / "trainer" / "modekeeper_trainer.py"
PREFETCH = "dataloader_prefetch_factor"
QUICK = {"MICROBATCHES": "4", "COMPUTE_MS": "2", "READ_MS": "3", "SLOW_READ_MS": "30", "STEPS": "16"}


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("modekeeper_trainer", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TRAINER = loaded()


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    """Train in a process without anything of ours: ``-I`` leaves out every path but the standard library's."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        env={"PATH": os.environ["PATH"]} | QUICK | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def trained(**environment: str) -> list[dict[str, Any]]:
    done = run(**environment)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def annotations(path: Path, **knobs: object) -> Path:
    """As the kubelet does: the file is replaced, never written in its place."""
    lines = [
        'kubernetes.io/config.source="api"',
        *(f'modekeeper/knob.{name}="{value}"' for name, value in knobs.items()),
    ]
    path.with_suffix(".new").write_text("\n".join(lines))
    path.with_suffix(".new").replace(path)
    return path


def wait_ms(records: list[dict[str, Any]]) -> float:
    return float(statistics.mean(record["data_wait_ms"] for record in records))


def test_each_step_says_how_it_went_and_with_which_knobs() -> None:
    records = trained()
    assert [record["step"] for record in records] == list(range(16))
    for record in records:
        assert record["step_time_ms"] >= record["data_wait_ms"] + 4 * 2
        assert record["knobs"] == {"concurrency": 2, PREFETCH: 2}
    assert records[-1]["loss"] < records[0]["loss"]


@pytest.mark.parametrize(("bad_day", "helps"), [("slow", True), ("crowded", False)])
def test_on_a_bad_day_more_reads_at_once_help_or_harm(bad_day: str, helps: bool) -> None:
    day = {"BAD_DAY": bad_day, "BAD_DAY_STEP": "4"}
    few, many = (trained(**day, PREFETCH=prefetch) for prefetch in ("2", "4"))
    assert wait_ms(few[5:]) > 4 * wait_ms(few[1:4])
    assert (wait_ms(many[5:]) < 0.7 * wait_ms(few[5:])) is helps
    assert (wait_ms(many[5:]) > 1.5 * wait_ms(few[5:])) is not helps


@pytest.mark.parametrize("environment", [{"WORKERS": "1", "PREFETCH": "1"}, {"WORKERS": "5"}, {"PREFETCH": "7"}])
def test_the_batches_and_their_order_do_not_depend_on_the_knobs(environment: dict[str, str]) -> None:
    assert [each["loss"] for each in trained(**environment)] == [each["loss"] for each in trained()]


def test_a_change_is_taken_at_a_step_and_taken_back_without_a_batch_lost(tmp_path: Path) -> None:
    file = annotations(tmp_path / "annotations", **{PREFETCH: 3})
    settings = TRAINER.Settings(annotations=str(file), microbatches=2, compute_ms=1, read_ms=1)
    storage = TRAINER.Storage(settings)
    knobs = TRAINER.Knobs(file, {"concurrency": 2, PREFETCH: 2})
    training = TRAINER.Training(settings, storage, TRAINER.Loader(storage), knobs)
    threads = threading.active_count()
    told, losses = [], []
    for number in range(12):
        if number == 4:
            annotations(file, **{PREFETCH: 9, "concurrency": 1})
        if number == 8:
            file.unlink()
        if number == 10:
            annotations(file)
        record = training.step(number)
        told.append((record["knobs"]["concurrency"], record["knobs"][PREFETCH]))
        losses.append(record["loss"])
    assert told == [(2, 3)] * 4 + [(1, 9)] * 6 + [(2, 2)] * 2
    assert losses == [each["loss"] for each in trained(MICROBATCHES="2", STEPS="12")]
    deadline = time.monotonic() + 10
    while threading.active_count() > threads + 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads + 4, "readers that are too many end"


@pytest.mark.parametrize("value", ["0", "65", "2.5", "-3", "", "3 ", "٣", "1e1", "9" * 400, "$(id)", '3"', "None"])
def test_a_value_that_cannot_be_used_changes_nothing_and_is_told_once(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    knobs = TRAINER.Knobs(annotations(tmp_path / "annotations", **{PREFETCH: 4}), {"concurrency": 2, PREFETCH: 2})
    assert knobs.look()[PREFETCH] == 4
    annotations(knobs.file, **{PREFETCH: value})
    assert [knobs.look() for _ in range(3)] == [{"concurrency": 2, PREFETCH: 4}] * 3
    said = capsys.readouterr().err
    assert said == f"WARNING: {PREFETCH} takes a whole number from 1 to 64: the value before stays\n"


@given(st.text())
def test_no_file_breaks_it(text: str) -> None:
    found, _ = TRAINER.annotated_knobs(text)
    for name, value in found.items():
        lower, upper = TRAINER.LIMITS[name]
        assert lower <= value <= upper


@pytest.mark.parametrize(
    "wrong",
    [{"BAD_DAY": "awful"}, {"WORKERS": "many"}, {"PREFETCH": "0"}, {"COMPUTE_MS": "-1"}, {"READ_MS": "nan"}],
    ids=str,
)
def test_a_setting_that_cannot_be_used_is_told_in_a_line(wrong: dict[str, str]) -> None:
    done = run(**wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ERROR: ")
    assert done.stderr.count("\n") == 1
    assert next(iter(wrong)) in done.stderr


def test_it_ends_when_it_is_told_to() -> None:
    with subprocess.Popen([sys.executable, "-I", str(PROGRAM)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["step"] == 0
        process.terminate()
        assert process.wait(5) == 0
