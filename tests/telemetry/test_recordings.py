"""A file says by its first line that it is a recording."""

import gzip
from pathlib import Path

import pytest

from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.recordings import RecordingKind, recording_among

PODS = b'{"schema":"pod_log_recording.v0","namespace":"ml","workload":"Deployment trainer"}\n'
PROMETHEUS = b'{"kind":"prometheus_recording","version":1,"choice":{"url":"http://p","namespace":"ml"}}\n'
TELEMETRY = b'{"ts":"2026-01-31T09:00:00Z","step":1,"step_time_ms":1.0}\n'


def put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PODS, RecordingKind.POD_LOGS),
        (gzip.compress(PODS, mtime=0), RecordingKind.POD_LOGS),
        (PROMETHEUS, RecordingKind.PROMETHEUS),
        (TELEMETRY, None),
        (b"", None),
        (b"ts,step\n1,2\n", None),
        (b'{"kind": 3}\n', None),
        (b'{"kind": "pod"}\n', None),
        (b"[" * 100_000, None),
        (b"\xff\xfe\x00", None),
    ],
    ids=["pods", "pods_gzip", "prometheus", "telemetry", "empty", "csv", "number", "other", "deep", "binary"],
)
def test_the_first_line_tells(tmp_path: Path, data: bytes, kind: RecordingKind | None) -> None:
    found = recording_among([put(tmp_path, "a.jsonl", data)])
    assert (found.kind if found else None) is kind


def test_a_pattern_that_matches_one_is_that_one(tmp_path: Path) -> None:
    name = put(tmp_path, "raw-1.jsonl", PODS)
    found = recording_among([str(tmp_path / "raw-*.jsonl"), name])
    assert found is not None
    assert found.path == name


def test_it_is_read_alone(tmp_path: Path) -> None:
    names = [put(tmp_path, "a.jsonl", TELEMETRY), put(tmp_path, "b.jsonl", PODS)]
    with pytest.raises(BadInputError, match="which is read alone"):
        recording_among(names)


@pytest.mark.parametrize(
    "data", [b'{"schema":"pod_log_recording.v9"}\n', b'{"kind":"prometheus_recording","version":2}\n']
)
def test_another_version_is_refused_in_words(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadInputError, match="a version that this release does not read"):
        recording_among([put(tmp_path, "a.jsonl", data)])
