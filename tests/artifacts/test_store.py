"""Files appear whole or not at all."""

import os
import subprocess
from pathlib import Path

import pytest

from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError, FailedError


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "out")
    place = store.write_bytes("plan/decision.json", b"{}\n")
    assert place == tmp_path / "out" / "plan" / "decision.json"
    assert store.read_bytes("plan/decision.json") == b"{}\n"


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert FolderStore(tmp_path).read_bytes("nothing.json") is None


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write_bytes("a.json", b"old")

    def interrupted() -> None:
        with store.stream("a.json") as file:
            file.write(b"half of the ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert store.read_bytes("a.json") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.stream("trace.jsonl") as file:
        file.write(b"one\n")
        file.flush()
        assert store.read_bytes("trace.jsonl") is None
    assert store.read_bytes("trace.jsonl") == b"one\n"


def test_unfinished_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left_over = tmp_path / f".unfinished-{gone.pid}-abc"
    left_over.write_bytes(b"half")
    FolderStore(tmp_path)
    assert not left_over.exists()


def test_an_unfinished_file_of_a_living_process_stays(tmp_path: Path) -> None:
    in_work = tmp_path / f".unfinished-{os.getppid()}-abc"
    in_work.write_bytes(b"half")
    FolderStore(tmp_path)
    assert in_work.exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_name_outside_the_store_is_an_error_of_the_programmer(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name inside"):
        FolderStore(tmp_path).write_bytes(name, b"")


def test_a_file_where_the_folder_should_be_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="--out a folder"):
        FolderStore(tmp_path / "file")


def test_a_full_disk_is_one_line_and_keeps_nothing() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises((BadInputError, FailedError)) as caught:
        FolderStore(full)
    assert "\n" not in str(caught.value)


def test_the_name_of_a_file_is_not_followed_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "victim"
    target.write_text("keep me")
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").symlink_to(target)
    FolderStore(out).write_bytes("report.json", b"new")
    assert target.read_text() == "keep me"
    assert (out / "report.json").read_bytes() == b"new"
