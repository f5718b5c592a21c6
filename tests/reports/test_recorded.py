"""Reading a run back: strict, bounded, and never the trace of another run."""

import json
import os
from pathlib import Path

import pytest
from tests.reports.runs import evaluated, observed, watched, write_run

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.reports import ClosedLoopReport, EvalReport, ObserveReport, WatchReport
from modekeeper.model.errors import BadInputError
from modekeeper.reports import recorded as module
from modekeeper.reports.recorded import load_recorded


def one_line(error: pytest.ExceptionInfo[BadInputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_a_run_is_read_with_the_ticks_at_which_something_changed(tmp_path: Path) -> None:
    run = load_recorded(write_run(tmp_path))
    assert isinstance(run.report, ClosedLoopReport)
    assert run.answer.verdict.startswith("DRIFT since step 702")
    assert [event.tick for event in run.turns] == [1, 2, 4]
    assert all(event.signals == () for event in run.turns)
    assert (run.trace_events, run.turns_left_out) == (5, 0)
    assert run.telemetry is not None
    assert len(run.telemetry.points) == 1000


@pytest.mark.parametrize("below", ["", "plan", "iter_0002"])
def test_the_report_is_found_where_the_commands_leave_it(tmp_path: Path, below: str) -> None:
    write_run(tmp_path / below)
    (tmp_path / "observe").mkdir()
    (tmp_path / "observe" / "observe_latest.json").write_bytes(document(observed()))
    assert load_recorded(tmp_path).report_file.path == tmp_path / below / "closed_loop_latest.json"


def test_the_last_iteration_of_a_watch_is_read_by_number_not_by_name(tmp_path: Path) -> None:
    for name in ("iter_0009", "iter_10000", "iter_9999", "iter_x", "iter_99999"):
        (tmp_path / name).mkdir()
    for name in ("iter_0009", "iter_10000", "iter_9999"):
        write_run(tmp_path / name)
    assert load_recorded(tmp_path).report_file.path.parent.name == "iter_10000"


def test_a_session_of_watch_is_read_as_a_whole(tmp_path: Path) -> None:
    write_run(tmp_path / "iter_0001")
    (tmp_path / "watch_latest.json").write_bytes(document(watched()))
    run = load_recorded(tmp_path)
    assert isinstance(run.report, WatchReport)
    assert len(run.mode_spans) == 2
    assert run.trace_file is None


def test_observe_and_eval_have_no_decisions(tmp_path: Path) -> None:
    (tmp_path / "observe_latest.json").write_bytes(document(observed()))
    run = load_recorded(tmp_path)
    assert isinstance(run.report, ObserveReport)
    assert run.trace_file is None
    assert "no mode was judged" in run.answer.verdict
    (tmp_path / "observe_latest.json").unlink()
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "eval_latest.json").write_bytes(document(evaluated()))
    run = load_recorded(tmp_path)
    assert isinstance(run.report, EvalReport)
    assert run.telemetry is None


def test_an_empty_folder_says_which_folders_have_a_report(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no report in .*closed_loop_latest.json.*mk plan") as error:
        load_recorded(tmp_path)
    one_line(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"\xff\xfe\x00", "malformed"),
        (b'{"schema_version": "v0"', "truncated"),
        (b'{"schema_version": "v9"}', "schema_version|missing required"),
        (b"[1]", "Expected `object`"),
        (b'{"x":' + b"[" * 100_000, "nested too deeply|truncated"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_a_garbled_report_is_named_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "closed_loop_latest.json").write_bytes(data)
    with pytest.raises(BadInputError, match=reason) as error:
        load_recorded(tmp_path)
    assert "closed_loop_latest.json" in one_line(error)


def test_a_number_where_a_text_belongs_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "closed_loop_latest.json"
    report = json.loads(path.read_bytes())
    report["chord"] = 7
    path.write_text(json.dumps(report))
    with pytest.raises(BadInputError, match=r"Expected `str`, got `int` - at `\$\.chord`"):
        load_recorded(tmp_path)


def test_a_missing_trace_is_said(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "decision_trace_latest.jsonl").unlink()
    with pytest.raises(BadInputError, match=r"decision_trace_latest.jsonl': no such file") as error:
        load_recorded(tmp_path)
    one_line(error)


def test_the_trace_of_another_run_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    trace = tmp_path / "decision_trace_latest.jsonl"
    trace.write_bytes(b"".join(trace.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(BadInputError, match=r"not the decision trace .* was made from") as error:
        load_recorded(tmp_path)
    one_line(error)


def test_a_garbled_event_is_named_by_its_line(tmp_path: Path) -> None:
    write_run(tmp_path)
    trace = tmp_path / "decision_trace_latest.jsonl"
    lines = trace.read_bytes().splitlines(keepends=True)
    trace.write_bytes(lines[0] + b"{}\n" + lines[1])
    with pytest.raises(BadInputError, match="line 2 is not an event"):
        load_recorded(tmp_path)


def test_an_endless_report_and_an_endless_line_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    monkeypatch.setattr(module, "_LINE_LIMIT_BYTES", 1000)
    with pytest.raises(BadInputError, match="too large for a decision trace"):
        load_recorded(tmp_path)
    monkeypatch.setattr(module, "_REPORT_LIMIT_BYTES", 1000)
    with pytest.raises(BadInputError, match="too large for a report"):
        load_recorded(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "closed_loop_latest.json")
    with pytest.raises(BadInputError, match="not a plain file"):
        load_recorded(tmp_path)


def test_of_many_turns_the_first_and_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    monkeypatch.setattr(module, "_TURNS_KEPT", 2)
    run = load_recorded(tmp_path)
    assert [event.tick for event in run.turns] == [1, 4]
    assert run.turns_left_out == 1
