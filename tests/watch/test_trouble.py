"""What ``mk watch`` does about damaged checkpoints, telemetry that goes away, and full disks: one line, whole files."""

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.watch.sessions import (
    DATA,
    ActingClock,
    check_folder,
    command,
    environment,
    mk,
    one_error_line,
    read_json,
    run_session,
)

from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.reports.folder.watch_state import STATE_NAME, WatchState, load_state, save_state

WATCH = ("watch", "--observe-path", "run.jsonl", "--out", "out", "--interval", "30s")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with telemetry and a session of two iterations."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(DATA / "straggler.jsonl", folder / "run.jsonl")
    done = mk(*WATCH, "--max-iterations", "2", cwd=folder)
    assert done.returncode == 0
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    # With its times: a copy is a new file, but for the checkpoint it begins as the old one.
    shutil.copytree(finished, tmp_path / "session")
    return tmp_path / "session"


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def changed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The checkpoint with another content, and the digest it had."""
    state = json.loads(data)
    change(state)
    return json.dumps(state, sort_keys=True).encode()


def signed(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The checkpoint with another content and a digest that fits: made by somebody who knows how."""
    state = json.loads(data)
    change(state)
    state["sha256"] = "0" * 64
    blank = json.dumps(state, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    digest = hashlib.sha256(blank).hexdigest().encode()
    return blank.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest)


def nested(depth: int) -> bytes:
    return b'{"engine":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


def set_at(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        place: Any = state
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        place: Any = state
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


HUGE = 10**400
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-2],
    "twice": lambda data: data + data,
    "zeros, as after a power cut": lambda data: bytes(len(data)),
    "not UTF-8": lambda data: data.replace(b"straggler", b"stra\xff\xfeler", 1),
    "another JSON value": lambda _: b"[]\n",
    "null": lambda _: b"null\n",
    "a list of itself": lambda data: b"[" + data + b"]",
    "deeply nested": lambda _: nested(100_000),
    "nested within limits": lambda _: nested(200),
    "one digit of a number": lambda data: data.replace(b'"iteration":2', b'"iteration":3'),
    "a fact taken out": lambda data: changed(data, drop("engine", "panel")),
    "a huge number": lambda data: data.replace(b'"iteration":2', b'"iteration":' + str(HUGE).encode()),
    "a last sample that is huge": lambda data: changed(data, set_at("engine", "last", "index", value=HUGE)),
    "a negative count": lambda data: changed(data, set_at("intervals_skipped", value=-1)),
    "no digest": lambda data: changed(data, drop("sha256")),
    "a digest of another form": lambda data: changed(data, set_at("sha256", value="yes")),
    "another version": lambda data: changed(data, set_at("schema_version", value="watch_state.v9")),
}
FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a folder outside": set_at("kept", value=["../../victim"]),
    "an absolute folder": set_at("kept", value=["/victim"]),
    "folders of the wrong type": set_at("kept", value={"a": 1}),
    "an iteration before the first": set_at("iteration", value=0),
    "an iteration that is huge": set_at("iteration", value=2**60),
    "an iteration that is text": set_at("iteration", value="2"),
    "a time that is none": set_at("started_at", value="yesterday"),
    "detectors of the wrong type": set_at("engine", "panel", value=[1]),
    "detectors missing": drop("engine", "panel"),
    "a detector missing": drop("engine", "panel", "detectors", "straggler"),
    "a detector that is a number": set_at("engine", "panel", "detectors", "burst", value=7),
    "a state of the wrong type": set_at("engine", "state", value="DRIFT"),
    "a mode there is not": set_at("engine", "state", "modes", value={"mode": "PANIC"}),
    "a recorder without a series": drop("recorder", "series"),
    "a series that is text": set_at("recorder", "series", value="1 2 3"),
    "a position that is empty": set_at("position", value={}),
    "a position of another kind": set_at("position", "source", value="synthetic"),
    "a position before the beginning": set_at("position", "files", 0, "text_bytes", value=-5),
    "records that are no records": set_at("position", "state", value="AAAA"),
    "records that are no base64": set_at("position", "state", value="***"),
}


def refuse_to_go_on(folder: Path, data: bytes) -> str:
    """The line that a damaged checkpoint gives; nothing of the session is changed."""
    (folder / "out" / STATE_NAME).write_bytes(data)
    before = contents(folder / "out")
    done = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert done.returncode == 2
    assert contents(folder / "out") == before
    line = one_error_line(done.stderr)
    assert "--fresh" in line
    assert len(line) < 400
    return line


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_costs_nothing(folder: Path, damage: str) -> None:
    data = DAMAGE[damage]((folder / "out" / STATE_NAME).read_bytes())
    line = refuse_to_go_on(folder, data)
    assert "out/watch_state.json: it is damaged" in line


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_checkpoint_is_refused_and_costs_nothing(folder: Path, forgery: str) -> None:
    victim = folder / "victim"
    victim.mkdir()
    (victim / "keep.txt").write_text("mine")
    data = signed((folder / "out" / STATE_NAME).read_bytes(), FORGED[forgery])
    refuse_to_go_on(folder, data)
    assert (victim / "keep.txt").read_text() == "mine"


def test_every_flipped_bit_is_noticed(finished: Path, tmp_path: Path) -> None:
    """A digit that changes is still JSON, and a session that goes on from it would be wrong without a word."""
    data = (finished / "out" / STATE_NAME).read_bytes()
    session = json.loads(data)["session"]
    store = FolderStore(tmp_path)
    (tmp_path / STATE_NAME).write_bytes(data)
    assert load_state(store, session) is not None
    rng = random.Random(5)
    for _ in range(400):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / STATE_NAME).write_bytes(damaged)
        with pytest.raises(BadInputError, match="damaged"):
            load_state(store, session)


def test_a_checkpoint_that_is_too_large_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / STATE_NAME).write_bytes(b"")
    os.truncate(tmp_path / STATE_NAME, 65 * 1024 * 1024)
    with pytest.raises(BadInputError, match="damaged"):
        load_state(FolderStore(tmp_path), "any")


def test_a_checkpoint_is_read_back_as_it_was(tmp_path: Path) -> None:
    state = WatchState(
        session='sha256:"0000"',
        started_at="2026-01-01T00:00:00.000Z",
        iteration=3,
        kept=("iter_0002", "iter_0003"),
        intervals_skipped=0,
        no_data_iterations=1,
        no_data_in_a_row=1,
        position={"sha256": "0" * 64},
        engine={"x": [0.1, 1e300, -0.0, "é\u2028"]},
        recorder={},
    )
    store = FolderStore(tmp_path)
    save_state(store, state)
    read = load_state(store, state.session)
    assert read is not None
    assert (read.engine, read.kept, read.position) == (state.engine, state.kept, state.position)


@pytest.mark.parametrize(
    "other",
    [
        ("--cooldown-s", "5000"),
        ("--k8s-namespace", "other"),
        ("--approve-advanced",),
        ("--policy", "scalar"),
        ("--observe-record-raw", "raw.jsonl"),
    ],
    ids=" ".join,
)
def test_a_session_with_other_settings_is_not_gone_on_with(folder: Path, other: tuple[str, ...]) -> None:
    before = contents(folder / "out")
    done = mk(*WATCH, "--max-iterations", "1", *other, cwd=folder)
    assert done.returncode == 2
    assert "belongs to a session with other telemetry or settings" in one_error_line(done.stderr)
    assert contents(folder / "out") == before


def test_a_session_over_another_file_is_not_gone_on_with(folder: Path) -> None:
    shutil.copy(folder / "run.jsonl", folder / "other.jsonl")
    before = contents(folder / "out")
    done = mk("watch", "--observe-path", "other.jsonl", "--out", "out", "--max-iterations", "1", cwd=folder)
    assert done.returncode == 2
    one_error_line(done.stderr)
    assert contents(folder / "out") == before


# Telemetry that goes away


def test_telemetry_that_is_gone_at_a_restart_is_one_line(folder: Path) -> None:
    before = contents(folder / "out")
    (folder / "run.jsonl").unlink()
    done = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert done.returncode == 2
    assert "cannot read telemetry 'run.jsonl': no such file" in one_error_line(done.stderr)
    assert contents(folder / "out") == before


def test_telemetry_moved_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """As a log that is rotated: silence meanwhile, and then the new file from its beginning."""
    path, out = tmp_path / "run.jsonl", tmp_path / "out"
    shutil.copy(DATA / "stable.jsonl", path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:200]))

    def meanwhile(number: int) -> None:
        if number == 1:
            path.rename(tmp_path / "run.jsonl.1")
        elif number == 3:
            path.write_bytes(b"".join(lines[200:]))

    run_session(out, path, clock=ActingClock(meanwhile), iterations=5)
    report = read_json(out / "watch_latest.json")
    assert report["observe_ingest"]["accepted_total"] == len(lines)
    assert report["no_data_iterations"] == 2
    assert any("rotated" in note for note in report["source"]["notes"])
    silent = read_json(out / "iter_0003" / "closed_loop_latest.json")
    assert silent["answer"]["verdict"].startswith("NO VERDICT")


def test_telemetry_that_becomes_unreadable_ends_the_session_with_whole_files(tmp_path: Path) -> None:
    path, out = tmp_path / "run.jsonl", tmp_path / "out"
    shutil.copy(DATA / "stable.jsonl", path)

    def meanwhile(number: int) -> None:
        if number == 2:
            path.unlink()
            path.mkdir()

    with pytest.raises((BadInputError, FailedError)) as caught:
        run_session(out, path, clock=ActingClock(meanwhile), iterations=5)
    assert "\n" not in str(caught.value)
    assert "run.jsonl" in str(caught.value)
    check_folder(out)
    report = read_json(out / "watch_latest.json")
    assert (report["stop_reason"], report["iterations"]) == ("failed", 2)
    assert report["kept_iterations"] == ["iter_0001", "iter_0002"]
    path.rmdir()
    shutil.copy(DATA / "stable.jsonl", path)
    run_session(out, path, iterations=1)
    assert read_json(out / "watch_latest.json")["resumed_from_iteration"] == 2


# Disks that are full

LIMITED = (
    "import resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
    "from modekeeper.cli.main import main\n"
    "sys.exit(main(sys.argv[2:]))\n"
)


@pytest.mark.parametrize("limit", [0, 300, 1000, 3000, 12_000, 40_000, 90_000])
def test_a_file_that_cannot_grow_is_one_line_and_leaves_whole_files(folder: Path, limit: int) -> None:
    before = contents(folder / "out")
    done = subprocess.run(
        [command()[0], "-c", LIMITED, str(limit), *WATCH, "--max-iterations", "2"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "cannot write" in one_error_line(done.stderr)
    check_folder(folder / "out")
    after = contents(folder / "out")
    assert after[STATE_NAME] == before[STATE_NAME]
    assert {name: after[name] for name in before if name.startswith("iter_")} == {
        name: data for name, data in before.items() if name.startswith("iter_")
    }
    again = mk(*WATCH, "--max-iterations", "1", cwd=folder)
    assert again.returncode == 0
    assert read_json(folder / "out" / "watch_latest.json")["iterations"] == 3
    check_folder(folder / "out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place.as_posix()]
    if shutil.which("mount") is None or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place.as_posix()], check=True)


def test_a_disk_that_fills_up_is_one_line_and_leaves_whole_files(small_disk: Path, tmp_path: Path) -> None:
    shutil.copy(DATA / "straggler.jsonl", tmp_path / "run.jsonl")
    words = ("watch", "--observe-path", "run.jsonl", "--interval", "30s", "--out", "disk/out")
    done = mk(*words, "--max-iterations", "400", cwd=tmp_path)
    assert done.returncode == 1
    line = one_error_line(done.stderr)
    assert "no space left on device" in line
    out = small_disk / "out"
    check_folder(out)
    iterations = read_json(out / STATE_NAME)["iteration"]
    assert 1 <= iterations < 400
    # Fewer iterations kept make room: the session goes on with what it knew.
    shutil.rmtree(out / "iter_0001")
    again = mk(*words, "--max-iterations", "3", "--keep", "1", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert read_json(out / "watch_latest.json")["iterations"] == iterations + 3
    check_folder(out)
