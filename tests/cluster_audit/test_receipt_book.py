"""The receipts on disk: the newest counts, and what was tampered with is not believed."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.k8s_apply import Receipt, receipt_digest
from modekeeper.cluster.audit.receipt_book import Slot, has_receipts, read_book
from modekeeper.model.errors import BadInputError

KEY = "modekeeper/knob.dataloader_prefetch_factor"
RECORD = ("metadata", "annotations")
TEMPLATE = ("spec", "template", *RECORD)


def receipt(value: str | None, uid: str = "uid-1", place: tuple[str, ...] = RECORD) -> Receipt:
    made = Receipt(
        plan_digest="sha256:" + "0" * 64,
        kind="Deployment",
        namespace="train",
        name="trainer",
        uid=uid,
        place=place,
        field_manager="modekeeper",
        resource_version_before="1",
        resource_version_after="2",
        written_at="2026-01-31T09:00:00Z",
        before={KEY: "2"},
        after={KEY: value},
        digest="",
    )
    return msgspec.structs.replace(made, digest=receipt_digest(made))


def put(folder: Path, run: int, number: int, made: Receipt) -> Path:
    path = folder / f"door/{run:04d}/receipts/{number:04d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document(made))
    return path


def test_the_newest_receipt_counts_by_the_number_of_its_run(tmp_path: Path) -> None:
    put(tmp_path, 10_000, 1, receipt("9"))
    put(tmp_path, 9_999, 10_000, receipt("8"))
    put(tmp_path, 9_999, 9_999, receipt("7"))
    put(tmp_path, 1, 1, receipt("5", place=TEMPLATE))
    put(tmp_path, 2, 1, receipt(None, uid="uid-2"))
    book = read_book(tmp_path)
    assert book.receipts == 5
    assert dict(book.written) == {
        Slot("uid-1", RECORD, KEY): "9",
        Slot("uid-1", TEMPLATE, KEY): "5",
        Slot("uid-2", RECORD, KEY): None,
    }


def test_before_the_first_apply_there_are_none_and_a_folder_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    assert not has_receipts(tmp_path)
    assert read_book(tmp_path).receipts == 0
    (tmp_path / "door").mkdir()
    assert has_receipts(tmp_path)
    assert read_book(tmp_path).receipts == 0
    with pytest.raises(BadInputError, match="no folder"):
        read_book(tmp_path / "nowhere")


def test_files_that_are_no_receipts_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, 1, 1, receipt("4"))
    for name in ("door/0001/receipts/.unfinished-7-ab", "door/0001/receipts/1.json", "door/notes/receipts/0001.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no receipt")
    assert read_book(tmp_path).receipts == 1


def changed(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda path: changed(path, after={KEY: "9"}),
        lambda path: changed(path, uid="uid-2"),
        lambda path: changed(path, more="x"),
        lambda path: changed(path, place="metadata"),
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b'{"digest": "a", ' + path.read_bytes()[1:]),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.write_bytes(b" " * (5 * 2**20)),
        lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.unlink(), path.mkdir()),
        pipe_instead,
    ],
    ids=range(12),
)
def test_a_receipt_that_was_tampered_with_is_said_and_not_believed(tmp_path: Path, tamper: Any) -> None:
    path = put(tmp_path, 1, 1, receipt("4"))
    tamper(path)
    with pytest.raises(BadInputError, match="receipt") as caught:
        read_book(tmp_path)
    assert "\n" not in str(caught.value)
