"""``mk watch`` as a process: how it stops, how it goes on, what it refuses."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.watch.sessions import (
    DATA,
    check_folder,
    command,
    environment,
    events_of,
    mk,
    one_error_line,
    read_json,
    started,
)

WATCH = ("watch", "--observe-path", "run.jsonl", "--out", "out")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(DATA / "drift.jsonl", tmp_path / "run.jsonl")
    return tmp_path


def wait_for_iterations(process: subprocess.Popen[str], number: int) -> None:
    """Until the process has said that so many iterations are done."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("iteration ") and int(line.split()[1].rstrip(":")) >= number:
            return
    pytest.fail("it ended too early")


def stopped(folder: Path, number: signal.Signals) -> tuple[subprocess.Popen[str], str, str]:
    """A session that was asked to end after its second iteration."""
    with started(*WATCH, "--interval", "50ms", cwd=folder) as process:
        wait_for_iterations(process, 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        return process, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_iteration_the_summary_and_the_process(folder: Path, number: signal.Signals) -> None:
    process, out, err = stopped(folder, number)
    assert (process.returncode, err) == (0, "")
    assert "(signal)" in out
    report = read_json(folder / "out" / "watch_latest.json")
    assert report["stop_reason"] == "signal"
    done = report["iterations"]
    assert report["kept_iterations"] == [f"iter_{n:04d}" for n in range(1, done + 1)]
    check_folder(folder / "out")

    again = mk(*WATCH, "--interval", "1s", "--max-iterations", "2", cwd=folder)
    assert again.returncode == 0
    assert f"going on after iteration {done} in out" in again.stderr
    assert f"iteration {done + 1}: " in again.stdout
    after = read_json(folder / "out" / "watch_latest.json")
    assert (after["resumed_from_iteration"], after["iterations"]) == (done, done + 2)
    assert after["stop_reason"] == "max_iterations"
    assert after["started_at"] == report["started_at"]
    # The records that waited to be put in order were kept, and counted once.
    lines = (folder / "run.jsonl").read_bytes().count(b"\n")
    assert after["observe_ingest"]["read_total"] == lines
    assert after["telemetry"]["sample_count"] == after["observe_ingest"]["accepted_total"] == lines
    ticks = [event.tick for event in events_of(folder / "out" / "decision_trace_latest.jsonl")]
    assert ticks == list(range(1, after["ticks_total"] + 1))


def test_a_sleeping_session_ends_at_once(folder: Path) -> None:
    with started(*WATCH, "--interval", "1h", cwd=folder) as process:
        wait_for_iterations(process, 1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - began < 10
    assert read_json(folder / "out" / "watch_latest.json")["stop_reason"] == "signal"


def test_a_second_signal_ends_the_process_without_ceremony(folder: Path) -> None:
    """The handler of the first one takes itself away."""
    script = (
        "import os, signal\n"
        "from modekeeper.cli.stopping import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.wait(5) and stop.is_set()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    raise SystemExit('still here')\n"
    )
    done = subprocess.run([command()[0], "-c", script], check=False, capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGTERM


def test_asking_for_an_end_inside_wait_locks_nothing_up() -> None:
    """Signals that arrive when the same thread is about to wait, or has just begun to."""
    script = (
        "import signal\n"
        "from modekeeper.cli.stopping import stop_on_signals\n"
        "for turn in range(300):\n"
        "    with stop_on_signals() as stop:\n"
        "        signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "        signal.signal(signal.SIGALRM, lambda *_: stop.set())\n"
        "        signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + turn))\n"
        "        assert stop.wait(20)\n"
    )
    done = subprocess.run([command()[0], "-c", script], check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_keep_bounds_folders_and_disk_use(folder: Path) -> None:
    out = folder / "out"
    sizes = []
    for _ in range(3):
        mk(*WATCH, "--interval", "30s", "--max-iterations", "6", "--keep", "2", cwd=folder)
        sizes.append(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()))
    assert sorted(path.name for path in out.glob("iter_*")) == ["iter_0017", "iter_0018"]
    report = read_json(out / "watch_latest.json")
    assert report["kept_iterations"] == ["iter_0017", "iter_0018"]
    assert report["iterations"] == 18
    assert sizes[2] < sizes[1] * 1.1
    joined = b"".join((out / name / "decision_trace_latest.jsonl").read_bytes() for name in report["kept_iterations"])
    assert (out / "decision_trace_latest.jsonl").read_bytes() == joined
    check_folder(out)


def test_fresh_starts_anew(folder: Path) -> None:
    out = folder / "out"
    mk(*WATCH, "--interval", "30s", "--max-iterations", "3", cwd=folder)
    (out / "notes.txt").write_text("a person's own file")
    done = mk(*WATCH, "--interval", "30s", "--max-iterations", "1", "--fresh", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    report = read_json(out / "watch_latest.json")
    assert (report["iterations"], report["resumed_from_iteration"]) == (1, None)
    assert report["observe_ingest"]["read_total"] == (folder / "run.jsonl").read_bytes().count(b"\n")
    assert [path.name for path in out.glob("iter_*")] == ["iter_0001"]
    assert (out / "notes.txt").read_text() == "a person's own file"


def test_a_second_writer_is_refused(folder: Path) -> None:
    with started(*WATCH, "--interval", "1h", cwd=folder) as process:
        wait_for_iterations(process, 1)
        before = snapshot(folder / "out")
        second = mk(*WATCH, "--interval", "1s", "--max-iterations", "1", cwd=folder)
        assert second.returncode == 2
        assert "another mk watch is writing to out" in one_error_line(second.stderr)
        fresh = mk(*WATCH, "--fresh", "--max-iterations", "1", cwd=folder)
        assert fresh.returncode == 2
        assert snapshot(folder / "out") == before


def test_a_lock_that_cannot_be_made_is_one_line(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / ".watch.lock").symlink_to(folder / "elsewhere")
    done = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert done.returncode == 2
    assert ".watch.lock" in one_error_line(done.stderr)
    assert not (folder / "elsewhere").exists()


def snapshot(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def summary_lines(out: Path) -> dict[str, str]:
    """The ``name: value`` lines of the summary."""
    lines = (out / "watch_summary.md").read_text().splitlines()
    return dict(line.removeprefix("- ").split(": ", 1) for line in lines if line.startswith("- ") and ": " in line)


def test_a_dirty_file_is_accounted_for_and_pointed_to(folder: Path) -> None:
    shutil.copy(DATA / "corrupted.jsonl", folder / "run.jsonl")
    once = mk("observe", "--path", "run.jsonl", "--out", "once", cwd=folder)
    assert once.returncode == 0
    mk(*WATCH, "--interval", "30s", "--max-iterations", "3", cwd=folder)
    report = read_json(folder / "out" / "watch_latest.json")
    expected = read_json(folder / "once" / "observe_latest.json")["observe_ingest"]
    assert report["observe_ingest"] == expected
    assert expected["dropped_total"] > 0 < expected["repaired_total"]
    lines = summary_lines(folder / "out")
    for name, path in report["artifact_paths"].items():
        assert lines[name] == path
        assert (folder / path).is_file()
    assert report["artifact_paths"]["last_iteration_report_path"] == "out/iter_0003/closed_loop_latest.json"
    assert lines["read_total"] == str(expected["read_total"])


def test_pointers_are_null_where_there_is_nothing_to_point_to(folder: Path) -> None:
    """The folder of the last iteration is gone when the session is rolled up again."""
    mk(*WATCH, "--interval", "30s", "--max-iterations", "1", cwd=folder)
    shutil.rmtree(folder / "out" / "iter_0001")
    done = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert done.returncode == 0
    shutil.rmtree(folder / "out" / "iter_0002")
    blocked = folder / "out" / "iter_0003"
    blocked.write_text("a file where the next iteration belongs")
    failed = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert failed.returncode == 2
    one_error_line(failed.stderr)
    report = read_json(folder / "out" / "watch_latest.json")
    assert report["artifact_paths"]["last_iteration_report_path"] is None
    assert report["artifact_paths"]["last_iteration_explain_path"] is None
    assert summary_lines(folder / "out")["last_iteration_report_path"] == "null"
    assert report["stop_reason"] == "failed"


APPLY = ("closed-loop", "watch", "--apply", "--observe-path", "run.jsonl", "--out", "out")


@pytest.mark.parametrize(
    ("switch", "reason"), [({}, "pro_not_installed"), ({"MODEKEEPER_KILL_SWITCH": "1"}, "kill_switch_active")]
)
def test_an_apply_is_refused_after_one_iteration(folder: Path, switch: dict[str, str], reason: str) -> None:
    done = mk(*APPLY, "--interval", "30s", "--max-iterations", "5", cwd=folder, **switch)
    assert done.returncode == 2
    line = one_error_line(done.stderr)
    assert reason in line
    assert ("MODEKEEPER_KILL_SWITCH" in line) == bool(switch)
    out = folder / "out"
    assert [path.name for path in out.glob("iter_*")] == ["iter_0001"]
    part, whole = read_json(out / "iter_0001" / "closed_loop_latest.json"), read_json(out / "watch_latest.json")
    assert part["apply_blocked_reason"] == reason
    assert part["kill_switch_active"] is bool(switch)
    assert (part["apply_requested"], part["apply_attempted"], part["apply_ok"]) == (True, False, False)
    assert (whole["apply_requested"], whole["dry_run"], whole["applied_total"]) == (True, False, 0)
    assert whole["stop_reason"] == "blocked"
    check_folder(out)


def test_the_same_session_written_twice_is_the_same_bytes(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        shutil.copy(folder / "run.jsonl", folder / name)
        mk(*WATCH, "--interval", "30s", "--max-iterations", "3", cwd=folder / name, PYTHONHASHSEED=str(ord(name)))
    left, right = snapshot(folder / "a" / "out"), snapshot(folder / "b" / "out")
    # The checkpoint knows the two files apart, and carries a digest of itself.
    states = [json.loads(files.pop("watch_state.json")) for files in (left, right)]
    for state in states:
        assert state.pop("sha256")
        for file in state["position"]["files"]:
            assert file.pop("inode")
    assert states[0] == states[1]
    assert left.keys() == right.keys()
    assert [name for name in left if left[name] != right[name]] == []


def test_a_new_file_of_a_pattern_is_no_other_session(folder: Path) -> None:
    words = ("watch", "--observe-path", "run*.jsonl", "--out", "out", "--max-iterations", "1")
    assert mk(*words, cwd=folder).returncode == 0
    shutil.copy(DATA / "stable.jsonl", folder / "run-2.jsonl")
    done = mk(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    report = read_json(folder / "out" / "watch_latest.json")
    assert (report["resumed_from_iteration"], report["iterations"]) == (1, 2)


def test_a_reader_of_the_output_that_leaves_costs_no_artifact(folder: Path) -> None:
    process = subprocess.Popen(
        command(*WATCH, "--interval", "10ms", "--max-iterations", "8"),
        cwd=folder,
        env=environment(MODEKEEPER_PINNED_CLOCK="", PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert errors == b""
    check_folder(folder / "out")
