"""A running watch notices the kill-switch, and says so."""

import json
import shutil
from pathlib import Path

import pytest
from tests.watch.sessions import DATA, check_folder, mk, one_error_line, read_json, run_session, started
from tests.watch.test_process import wait_for_iterations

from modekeeper.cluster.kill_switch import KillSwitchSignals

WATCH = ("watch", "--observe-path", "run.jsonl", "--out", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "drift.jsonl", tmp_path / "run.jsonl")
    return tmp_path


def moves(out: Path) -> list[tuple[bool, str | None]]:
    lines = [json.loads(line) for line in (out / "explain.jsonl").read_text().splitlines()]
    moved = [line["payload"] for line in lines if line["event"] == "kill_switch_moved"]
    return [(each["active"], each["signal"]) for each in moved]


def test_a_switch_is_noticed_in_the_next_iteration_and_so_is_that_it_went(folder: Path) -> None:
    place, out = folder / "stop", folder / "out"
    seen: list[tuple[bool, str | None]] = []

    def act(iteration: int) -> None:
        report = read_json(out / f"iter_{iteration:04d}" / "closed_loop_latest.json")
        seen.append((report["kill_switch_active"], report["kill_switch_signal"]))
        assert read_json(out / "watch_latest.json")["kill_switch_signal"] == report["kill_switch_signal"]
        if iteration == 1:
            place.touch()
        if iteration == 3:
            place.write_text("off")

    signals = KillSwitchSignals(environment={}, file=str(place))
    run_session(
        out,
        folder / "run.jsonl",
        iterations=4,
        kill_switch=signals.look,
        after_iteration=lambda roll_up: act(roll_up.iterations),
    )
    on = (True, f"file:{place}")
    assert seen == [(False, None), on, on, (False, None)]
    assert moves(out) == [on, (False, None)]


def test_a_process_that_runs_notices_a_file(folder: Path) -> None:
    with started(*WATCH, "--interval", "50ms", "--kill-switch-file", "stop", cwd=folder) as process:
        wait_for_iterations(process, 2)
        (folder / "stop").touch()
        wait_for_iterations(process, 6)
        process.terminate()
        process.communicate(timeout=30)
    report = read_json(folder / "out" / "watch_latest.json")
    assert (report["kill_switch_active"], report["kill_switch_signal"]) == (True, "file:stop")
    assert moves(folder / "out") == [(True, "file:stop")]
    check_folder(folder / "out")


@pytest.mark.parametrize("command", ["run", "watch"])
def test_an_apply_is_refused_by_a_file(folder: Path, command: str) -> None:
    (folder / "stop").touch()
    words = ("closed-loop", command, "--apply", "--observe-path", "run.jsonl", "--out", "out")
    done = mk(*words, "--kill-switch-file", "stop", cwd=folder)
    assert done.returncode == 2
    line = one_error_line(done.stderr)
    assert line.startswith("apply refused (kill_switch_active): file:stop is on (like MODEKEEPER_KILL_SWITCH")
    where = folder / "out" / ("iter_0001" if command == "watch" else ".")
    report = read_json(where / "closed_loop_latest.json")
    assert report["apply_blocked_reason"] == report["block_reasons"][0] == "kill_switch_active"
    assert report["kill_switch_signal"] == "file:stop"
