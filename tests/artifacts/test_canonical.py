"""Same facts, same bytes."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.artifacts.canonical import canonical_digest, document, json_line
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.times import file_stamp, from_ms, iso_ms, iso_utc, parse_iso
from modekeeper.cli.clocks import PinnedClock

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert document(value) == document(backwards)
    assert json_line(value) == json_line(backwards)
    assert canonical_digest(value) == canonical_digest(backwards)


@given(st.floats() | st.lists(st.floats(), max_size=4))
def test_no_number_breaks_a_reader(value: object) -> None:
    text = document({"v": value})
    assert text.endswith(b"\n")
    assert not text.endswith(b"\n\n")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@given(json_values)
def test_a_document_reads_as_the_standard_library_would_write_it(value: object) -> None:
    text = json.dumps(json.loads(json_line(value)), sort_keys=True, indent=2, ensure_ascii=False)
    assert document(value).decode() == text + "\n"


def test_times_are_utc_with_milliseconds() -> None:
    when = parse_iso("2026-01-31T10:08:07.006789+01:00")
    assert iso_utc(when) == "2026-01-31T09:08:07.006Z"
    assert file_stamp(when) == "20260131T090807006Z"
    assert iso_ms(0) == "1970-01-01T00:00:00.000Z"
    assert iso_ms(None) is None


@given(st.integers(-(10**18), 10**18))
def test_any_time_a_record_may_carry_is_handled(ts_ms: int) -> None:
    assert (from_ms(ts_ms) is None) == (iso_ms(ts_ms) is None)


def test_the_explain_log_keeps_the_beginning_and_the_end() -> None:
    log = ExplainLog(PinnedClock(datetime(2026, 1, 1, tzinfo=UTC)), limit=10)
    for number in range(100):
        log.add("counted", number=number)
    events = [json.loads(line) for line in log.data().splitlines()]
    numbers = [event["payload"].get("number") for event in events]
    assert numbers[:5] == [0, 1, 2, 3, 4]
    assert numbers[5:10] == [95, 96, 97, 98, 99]
    assert events[-1]["event"] == "explain_events_left_out"
    assert events[-1]["payload"] == {"count": 90}


def test_the_explain_log_goes_on_from_an_earlier_one_and_skips_what_is_no_event() -> None:
    clock = PinnedClock(datetime(2026, 1, 1, tzinfo=UTC))
    first = ExplainLog(clock)
    first.add("begun", number=1)
    second = ExplainLog(clock)
    second.take_over(first.data() + b'half a li\n[]\n{"ts": 3}\n')
    second.add("resumed")
    assert [json.loads(line)["event"] for line in second.data().splitlines()] == ["begun", "resumed"]
