"""The bench of the detectors measures what it says it measures: known detectors get known scores."""

import gzip
import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from benchmarks.detect import score
from benchmarks.detect.columns import block_of, settings_of, step_times
from benchmarks.detect.disturbances import DISTURBANCES, disturbances_section
from benchmarks.detect.disturbed import Case
from benchmarks.detect.protocol import FOUND_WITHIN, MERGE_WITHIN, Alarms, match, merged
from benchmarks.detect.speed import SpeedSize, speed_section
from benchmarks.detect.splices import BANDS, Piece, pieces, score_pieces
from benchmarks.detect.stragglers import score_stream
from benchmarks.detect.suites import suites_section
from benchmarks.detect.tables import Bar, Table, bars_table
from benchmarks.detect.theory import autoregressive, first_words, poisson_limits
from benchmarks.detect.traces import OPEN, Trace, TraceFolder, steady_stretch
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.model.block import SampleBlock
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind

SUITES = (*OPEN, "straggler_bytedance")
RUNS = 2
SAMPLES = 900
CHANGE = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces of every suite that the bench knows, made up."""
    root = tmp_path_factory.mktemp("traces")
    rng = np.random.default_rng(7)
    labels = {}
    for suite in SUITES:
        for run in range(1 if suite == "straggler_bytedance" else RUNS):
            name = f"{suite}/{run}"
            values = 100.0 * (1.0 + 0.01 * rng.standard_normal(SAMPLES))
            label: dict[str, object] = {"suite": suite, "warmup": 10, "change_points": [], "weak_changes": []}
            rows = [{"ts": f"2026-01-01T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}Z"} for s in range(SAMPLES)]
            if suite == "nanogpt_step":
                values[CHANGE:] *= 1.3
                label["change_points"] = [{"i": CHANGE}]
            if suite == "nanogpt_ramp":
                values[CHANGE:] *= np.minimum(1.0 + 0.0005 * np.arange(SAMPLES - CHANGE), 1.2)
                label["onset_5pct"] = CHANGE + 100
            if suite == "mlperf_gnn_wall":
                values[300::300] *= 8.0
                label["bursts"] = [300, 600]
            columns: list[dict[str, object]] = [
                {"step": i, "step_time_ms": round(float(v), 3), "loss": 2.0} for i, v in enumerate(values)
            ]
            if suite == "straggler_bytedance":
                label |= {"peer_group": list("01230123"), "straggler_workers": ["0/3", "1/3"]}
                workers = 800.0 * (1.0 + 0.005 * rng.standard_normal((32, 8)))
                rows, columns = rows[:32], columns[:32]
                for i, column in enumerate(columns):
                    column["worker_latencies_ms"] = np.round(workers[i], 3).tolist()
            labels[name] = label
            path = root / "traces" / f"{name}.jsonl.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(path, "wt", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row | column) + "\n" for row, column in zip(rows, columns, strict=True))
    (root / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def traces(folder: Path) -> TraceFolder:
    return TraceFolder(folder)


def silent(_block: SampleBlock) -> Alarms:
    return Alarms([], [])


def talkative(block: SampleBlock) -> Alarms:
    every = list(range(0, len(block), MERGE_WITHIN + 1))
    return Alarms(every, every)


def all_knowing(made: Sequence[Piece], delay: int) -> dict[int, Alarms]:
    """Alarms by the identity of the block."""
    return {id(piece.block): Alarms([piece.onset + delay], [piece.onset]) for piece in made}


@given(st.lists(st.integers(0, 500)).map(sorted))
def test_merged_alarms_are_far_apart_and_none_is_lost(alarms: list[int]) -> None:
    kept = merged(alarms)
    assert set(kept) <= set(alarms)
    assert bool(kept) == bool(alarms)
    for alarm in alarms:
        assert any(first <= alarm for first in kept)
    chains = sum(b - a > MERGE_WITHIN for a, b in pairwise(alarms))
    assert len(kept) == chains + bool(alarms)


@pytest.mark.parametrize(
    ("alarms", "delays", "missed", "false"),
    [
        ([], [], 1, []),
        ([200], [0], 0, []),
        ([199], [], 1, [199]),
        ([200 + FOUND_WITHIN], [FOUND_WITHIN], 0, []),
        ([201 + FOUND_WITHIN], [], 1, [201 + FOUND_WITHIN]),
        ([210, 240, 280], [10], 0, []),
        ([50, 60, 220, 400], [20], 0, [50, 400]),
    ],
)
def test_an_alarm_counts_within_the_window_after_the_change(
    alarms: list[int], delays: list[int], missed: int, false: list[int]
) -> None:
    found = match(alarms, [200])
    assert (found.delays, found.missed, found.false) == (delays, missed, false)


def test_an_offline_peer_may_place_a_change_early() -> None:
    assert match([190], [200], early=10).delays == [0]
    assert match([189], [200], early=10).missed == 1


def test_the_same_seed_gives_the_same_pieces_and_another_seed_others(traces: TraceFolder) -> None:
    first, again, other = pieces(traces, 1, 3), pieces(traces, 1, 3), pieces(traces, 2, 3)
    times = [[piece.block.metrics["step_time_ms"].tolist() for piece in made] for made in (first, again, other)]
    assert times[0] == times[1]
    assert all(one != two for one, two in zip(times[0], times[2], strict=True))


def test_every_piece_has_the_change_it_says_it_has(traces: TraceFolder) -> None:
    made = pieces(traces, 3, 3)
    assert len(made) == 2 * 3 * len(BANDS)
    assert {np.sign(piece.effect) for piece in made} == {-1.0, 1.0}
    for piece in made:
        values = piece.block.metrics["step_time_ms"]
        before, after = np.median(values[: piece.onset]), np.median(values[piece.onset :])
        assert piece.onset >= 150
        assert len(values) - piece.onset >= 150
        assert after / before - 1.0 == pytest.approx(piece.effect, abs=0.01)


def test_a_stretch_holds_no_listed_change() -> None:
    label = {"warmup": 10, "weak_changes": [{"i": 410, "shift": 0.02}, {"i": 800, "shift": 0.001}]}
    run = Trace("made", "made", step_times(np.arange(SAMPLES, dtype=np.float64)), label)
    rng = np.random.default_rng(1)
    drawn = [steady_stretch(run, 300, 500, rng) for _ in range(200)]
    kept = [stretch for stretch in drawn if stretch is not None]
    assert 0 < len(kept) < len(drawn)
    assert not any(stretch[0] < 410 <= stretch[-1] for stretch in kept)
    assert any(stretch[0] < 800 <= stretch[-1] for stretch in kept)
    assert min(stretch[0] for stretch in kept) >= 10


def test_a_perfect_detector_scores_one_and_its_delay_is_told(traces: TraceFolder) -> None:
    made = pieces(traces, 1, 3)
    alarms = all_knowing(made, delay=7)
    by_band, by_suite = score_pieces(made, lambda block: alarms[id(block)])
    for band in BANDS:
        assert by_band[band].f1 == 1.0
        assert by_band[band].delays == [7] * 6
        assert by_band[band].suspected_delays == [0] * 6
    assert sum(score.pieces for score in by_suite.values()) == len(made)


def test_a_silent_detector_scores_nothing_and_a_talkative_one_little(traces: TraceFolder) -> None:
    made = pieces(traces, 1, 3)
    by_band, _ = score_pieces(made, silent)
    assert {score.f1 for score in by_band.values()} == {0.0}
    by_band, _ = score_pieces(made, talkative)
    for score_of in by_band.values():
        assert len(score_of.delays) == score_of.pieces
        assert 0.0 < score_of.f1 < 0.5


def test_suites_tell_a_silent_detector_from_a_talkative_one(traces: TraceFolder) -> None:
    section = suites_section(traces, {"silent": silent}, early={}, held_out=False)
    held = {bar.name: bar.held for bar in section.bars}
    assert held.pop("nanogpt_step, changes found") is False
    assert held.pop("nanogpt_ramp, found by 5 % + 300") is False
    assert set(held.values()) == {True}
    section = suites_section(traces, {"talkative": talkative}, early={}, held_out=False)
    held = {bar.name: bar.held for bar in section.bars}
    assert held.pop("nanogpt_step, changes found") is True
    assert held.pop("nanogpt_ramp, found by 5 % + 300") is True
    assert set(held.values()) == {False}


def straggler(phase: Phase, at: int, workers: tuple[int, ...], name: str = "straggler-1") -> Signal:
    return Signal(
        id=name,
        kind=SignalKind.STRAGGLER,
        phase=phase,
        metric="worker_latencies_ms",
        direction=Direction.WORSE,
        at_index=at,
        at_step=at,
        at_ts_ms=at,
        since_index=at,
        since_step=at,
        since_ts_ms=at,
        workers=workers,
    )


def test_stragglers_are_scored_by_delay_cover_and_wrong_names() -> None:
    workers = np.ones((100, 4))
    slow = np.zeros((100, 4), dtype=np.bool_)
    slow[40:80, 1] = True
    said = [
        straggler(Phase.SUSPECTED, 43, (0, 1)),
        straggler(Phase.CONFIRMED, 47, (1,)),
        straggler(Phase.CLEARED, 60, (1,)),
        straggler(Phase.CONFIRMED, 60, (1, 2), "straggler-2"),
        straggler(Phase.CLEARED, 70, (1, 2), "straggler-2"),
    ]
    result = score_stream(workers, slow, said)
    assert (result.slow_times, result.delays, result.found) == (1, [7], 1)
    assert (result.due_steps, result.covered_steps) == (25, 15)
    assert (result.false, result.healthy_worker_steps) == (1, 360)


def test_naming_a_worker_just_after_its_slow_time_is_late_not_false() -> None:
    workers = np.ones((100, 4))
    slow = np.zeros((100, 4), dtype=np.bool_)
    slow[40:42, 1] = True
    late = score_stream(workers, slow, [straggler(Phase.CONFIRMED, 48, (1,))])
    wrong = score_stream(workers, slow, [straggler(Phase.CONFIRMED, 55, (1,))])
    assert (late.delays, late.false) == ([8], 0)
    assert (wrong.delays, wrong.false) == ([], 1)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 2.996), (1, 0.0513, 4.744), (5, 1.970, 10.513), (50, 38.96, 63.29)]
)
def test_poisson_limits_are_those_of_the_tables(count: int, low: float, high: float) -> None:
    measured = poisson_limits(count)
    assert measured[0] == pytest.approx(low, abs=0.03)
    assert measured[1] == pytest.approx(high, rel=0.01)


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.95])
def test_correlated_noise_has_the_spread_and_the_correlation_it_should(phi: float) -> None:
    values = autoregressive(100_000, phi, np.random.default_rng(3), 1000.0)
    noise = values / 1000.0 - 1.0
    assert np.std(noise) == pytest.approx(0.05, rel=0.1)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(phi, abs=0.02)


def test_the_delay_against_theory_counts_from_one() -> None:
    values = 1000.0 * (1.0 + 0.01 * np.random.default_rng(5).standard_normal(1000))
    values[600:] *= 3.0
    first = first_words(step_times(values), settings_of(None))
    assert first is not None
    suspected, confirmed = first
    assert 1 <= suspected <= confirmed < 100


def test_a_change_that_is_never_seen_counts_as_long_as_the_stream() -> None:
    values = 1000.0 * (1.0 + 0.01 * np.random.default_rng(5).standard_normal(1000))
    assert first_words(step_times(values), settings_of(None)) == (400, 400)


def test_every_disturbance_is_made_the_same_again(traces: TraceFolder) -> None:
    settings = settings_of(None)
    once = disturbances_section(traces, settings, seeds=[4], streams=1)
    again = disturbances_section(traces, settings, seeds=[4], streams=1)
    assert once.markdown() == again.markdown()
    assert len(once.tables[0].rows) == len(DISTURBANCES)


def test_silence_does_not_hold_where_something_is_to_be_said() -> None:
    case = Case(block_of(200, {"step_time_ms": np.full(200, 100.0)}), (100,), (3,))
    demanding = {d.name for d in DISTURBANCES if d.judge([], case)}
    assert demanding >= {"ranks silent, one slow", "loss diverged", "fields missing, and a change", "no step times"}
    assert "loss spikes" not in demanding


def test_a_bar_says_yes_no_or_that_it_cannot_tell() -> None:
    text = bars_table([Bar("a", "1", "2", held) for held in (True, False, None)]).markdown()
    assert text.splitlines()[2:] == ["| a | 1 | 2 | yes |", "| a | 1 | 2 | **no** |", "| a | 1 | 2 | ? |"]


def test_a_table_is_markdown() -> None:
    assert Table(("x", "n"), [("a", 1)]).markdown() == "| x | n |\n| --- | --: |\n| a | 1 |"


def test_a_column_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="step_tme_ms"):
        block_of(1, {"step_tme_ms": 1.0})


def test_speed_is_measured_for_every_kind_of_stream() -> None:
    section = speed_section(SpeedSize(samples=3000, ones=20, panels=3, repeats=1))
    assert len(section.bars) == 7
    assert all(math.isfinite(float(str(row[1]).replace(",", ""))) for row in section.tables[0].rows)


def run(folder: Path, out: Path, *more: str) -> str:
    arguments = ["--data", str(folder), "--no-peers", "--quick", "--each", "3", "--streams", "1", "--disturbed", "1"]
    arguments += ["--trials", "8", "--null-samples", "40000", "--ar-samples", "4", "--out", str(out), *more]
    assert score.main(arguments) == 0
    return (out / "detectors.md").read_text(encoding="utf-8")


def test_the_page_and_the_plot_are_the_same_bytes_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--only", "splices,bursts,stragglers")
    page = run(folder, tmp_path, *only)
    plot = (tmp_path / "splices.svg").read_bytes()
    assert run(folder, tmp_path, *only) == page
    assert (tmp_path / "splices.svg").read_bytes() == plot
    assert str(folder) not in page
    assert "| splices, F1 over all |" in page
    assert capsys.readouterr().out.count("| bar | measured | wanted | ok |") == 2


@pytest.mark.parametrize(
    "arguments", [["--only", "splyces"], ["--data", "no/such/folder"], ["--seeds", "0"], ["--step-ms", "0"]]
)
def test_a_wrong_argument_is_one_line(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main(["--data", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ERROR: ")
    assert error.count("\n") == 1
