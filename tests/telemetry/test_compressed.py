"""Compressed telemetry: the same samples as plain, and honesty about damage."""

import gzip
import io
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from tests.telemetry.feeding import Running, ScriptedClock, drain, file_source, source_of, stream_of

from modekeeper.model.errors import FailedError
from modekeeper.telemetry import compressed
from modekeeper.telemetry.file import open_files
from modekeeper.telemetry.limits import IngestLimits

PLAIN = stream_of(500)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd.compress,
}


@pytest.fixture(params=sorted(PACKERS))
def packed(request: pytest.FixtureRequest) -> bytes:
    return bytes(PACKERS[request.param](PLAIN))


def test_compression_is_recognised_by_content_not_by_name(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(packed)
    assert drain(file_source(path)) == drain(source_of(PLAIN))


@pytest.mark.parametrize("size", [1, 3, 63, 64, 65, 100_000])
def test_read_sizes_do_not_matter(packed: bytes, size: int) -> None:
    assert drain(source_of(packed, [size])) == drain(source_of(PLAIN))


def test_members_behind_one_another_padding_and_empty_ones() -> None:
    cut = len(PLAIN) // 3
    data = gzip.compress(b"") + gzip.compress(PLAIN[:cut]) + b"\0" * 700 + zstd.compress(PLAIN[cut:]) + b"\0"
    source = source_of(data)
    assert drain(source) == drain(source_of(PLAIN))
    assert source.notes == ()


def test_a_skippable_frame_is_skipped() -> None:
    frame = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert len(drain(source_of(frame + zstd.compress(PLAIN)))) == 500


@pytest.mark.parametrize("kind", sorted(PACKERS))
def test_a_stream_that_is_cut_off_gives_what_it_has_and_a_note(kind: str) -> None:
    # Zstandard gives whole blocks of 128 KiB, so it takes more than one of them.
    plain = stream_of(5000)
    packed = bytes(PACKERS[kind](plain))
    source = source_of(packed[: len(packed) * 9 // 10])
    rows = drain(source)
    assert rows == drain(source_of(plain))[: len(rows)]
    assert len(rows) > 1000
    assert len(source.notes) == 1
    assert "cut off" in source.notes[0]


def test_a_gzip_stream_damaged_in_the_middle_gives_what_is_before(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(PLAIN, mtime=0))
    data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
    path = tmp_path / "run.gz"
    path.write_bytes(data)
    source = file_source(path)
    rows = drain(source)
    assert 50 < len(rows) < 500
    assert len(source.notes) == 1
    assert "damaged" in source.notes[0]


def test_a_wrong_checksum_is_noted_and_costs_no_more_than_the_last_lines() -> None:
    data = bytearray(gzip.compress(PLAIN, mtime=0))
    data[-8] ^= 1
    source = source_of(bytes(data))
    assert len(drain(source)) > 450
    assert "damaged" in source.notes[0]


def test_other_bytes_behind_the_end_are_noted() -> None:
    source = source_of(gzip.compress(PLAIN) + b"trailing")
    assert len(drain(source)) == 500
    assert "other bytes behind its end" in source.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00garbage, garbage",
        gzip.compress(PLAIN)[:12],
        b"\x28\xb5\x2f\xfd\xff\xff\xff\xff",
        b"\x28\xb5\x2f",
    ],
    ids=["magic alone", "garbage", "header alone", "bad frame", "half a magic"],
)
def test_a_stream_of_which_nothing_can_be_had_has_failed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(data)
    source = file_source(path)
    if data == b"\x28\xb5\x2f":
        assert drain(source) == []
        assert source.counters().dropped_by_reason == {"invalid_json": 1}
        return
    with pytest.raises(FailedError, match="nothing could be read") as caught:
        list(source.blocks(Running()))
    assert str(caught.value).isprintable()


def test_a_bomb_does_not_claim_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = (
        b"".join([packer.compress(b"[" * (1 << 20)) for _ in range(200)])
        + packer.compress(b"\n" + PLAIN)
        + packer.flush()
    )
    path = tmp_path / "bomb.gz"
    path.write_bytes(bomb)
    source = open_files([str(path)], clock=ScriptedClock(), limits=IngestLimits(read_bytes=1 << 18))
    tracemalloc.start()
    try:
        rows = drain(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) == 500
    assert source.counters().dropped_by_reason == {"too_long": 1}
    assert peak < 16 << 20


@pytest.mark.parametrize("kind", sorted(PACKERS))
@pytest.mark.parametrize("size", [1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_one_piece_that_holds_much_text_gives_all_of_it_in_bounded_parts(kind: str, size: int) -> None:
    member = compressed._GzipMember() if kind == "gzip" else compressed._ZstdFrame()
    parts = list(member.feed(PACKERS[kind](b"x" * size)))
    assert b"".join(parts) == b"x" * size
    assert max(map(len, parts)) <= 1 << 18
    assert member.eof


def test_growing_compressed_files_are_read_on(tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(packed[:100])

    def append() -> None:
        with path.open("ab") as file:
            file.write(packed[100:])

    source = open_files([str(path)], clock=ScriptedClock(append), follow=True)
    blocks = [*source.blocks(Running()), *source.flush()]
    assert sum(map(len, blocks)) == 500
    assert source.notes == ()


def test_without_isal_the_text_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(PLAIN)
    usual = drain(source_of(data))
    monkeypatch.setitem(sys.modules, "isal", None)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    assert type(compressed._gzip_stream()).__module__ == "zlib"
    assert drain(source_of(data)) == usual


def test_plain_text_of_one_byte_is_not_mistaken() -> None:
    for data in (b"(", b"P", b"\x1f"):
        source = open_files(["-"], stdin=io.BytesIO(data), clock=ScriptedClock())
        assert drain(source) == []
        assert source.counters().read_total == 1
