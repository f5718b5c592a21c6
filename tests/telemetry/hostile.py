"""Hypothesis strategies of hostile and dirty telemetry, shared by the properties and the long runs."""

import json

from hypothesis import strategies as st
from tests.telemetry.feeding import T0_MS

NAMES = st.sampled_from(
    [
        "ts",
        "ts_ms",
        "timestamp",
        "time",
        "step",
        "step_time_ms",
        "latency_ms",
        "loss",
        "throughput",
        "data_wait_ms",
        "gpu_util_pct",
        "worker_latencies_ms",
        "worker_groups",
        "node",
        "gpu_model",
        "phase",
        "knobs",
        "knob.concurrency",
        "modekeeper/knob.x",
        "rank",
        "batch_size",
        "\u0000",
        "other",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(T0_MS - 10_000, T0_MS + 10_000),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.sampled_from(["2026-01-01T00:00:00Z", "NaN", "1e400", "[1,2", '[1.5,"x"]', "{}", "-0", "1e-400", "\ud800"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)


def _json(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


RECORDS = st.dictionaries(NAMES, VALUES, max_size=8).map(_json)
"""Objects with the names that matter and anything in them."""


@st.composite
def _healthy(draw: st.DrawFn) -> bytes:
    index = draw(st.integers(0, 60))
    jitter = draw(st.sampled_from([0, 0, 0, 0, 1, -1500, 7000, -7_000_000, 10**12, -(10**12)]))
    entry: dict[str, object] = {
        "ts_ms": max(0, T0_MS + index * 1000 + jitter),
        "step_time_ms": draw(st.sampled_from([1.0, 2.0])),
    }
    if draw(st.booleans()):
        entry["step"] = index
    if draw(st.booleans()):
        entry["node"] = draw(st.sampled_from(["a", "b"]))
    if draw(st.booleans()):
        entry["worker_latencies_ms"] = draw(st.lists(st.sampled_from([1.0, None, 3.0]), max_size=3))
    return _json(entry)


HEALTHY = _healthy()
"""Records of one run: mostly in order, some late, repeated or of another clock."""


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.one_of(HEALTHY, RECORDS)))
    for _ in range(draw(st.integers(1, 3))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


LINES = st.one_of(
    HEALTHY,
    HEALTHY,
    RECORDS,
    _damaged(),
    st.binary(max_size=40),
    VALUES.map(_json),
    st.sampled_from(
        [
            b"",
            b" ",
            b"\r",
            b"\xef\xbb\xbf{}",
            b"null",
            b"[]",
            b"{",
            b"ts,step,step_time_ms",
            b"1,2,3",
            b'1,"2',
            b"\0" * 5,
            b"[" * 90,
            b'{"a":' * 90 + b"1" + b"}" * 90,
            b"x" * 300,
            b'{"ts":NaN,"loss":-Infinity}',
            b'{"ts":1,"loss":1e999}',
        ]
    ),
)
"""One line, without its end."""

FILES = st.one_of(
    st.lists(LINES, max_size=40).map(b"\n".join),
    st.lists(LINES, max_size=40).map(lambda lines: b"\r\n".join(lines) + b"\n"),
    st.binary(max_size=400),
    st.binary(max_size=100).map(lambda tail: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + tail),
    st.binary(max_size=100).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail),
)
"""A whole input."""
SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=4)
