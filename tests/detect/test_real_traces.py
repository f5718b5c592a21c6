"""What the panel says of cuts of real traces; see ``data/README.md``."""

import pytest
from tests.detect.streams import confirmed, feed, of_kind, read_trace, run

from modekeeper.detect.panel import Panel
from modekeeper.model.signal import Direction, Phase, SignalKind

PAUSES = (287, 575, 863, 1151, 1439)
STAGES = ("0", "1", "2", "3", "0", "1", "2", "3")


def test_both_scheduled_changes_of_a_gpt_run_are_found_where_they_are() -> None:
    signals = feed(Panel(), read_trace("nanogpt_step"))
    found = confirmed(signals, SignalKind.DRIFT)
    assert [abs(s.since_index - at) <= 3 for s, at in zip(found, (664, 1329), strict=True)] == [True, True]
    assert all(0 < s.at_index - at <= 40 for s, at in zip(found, (664, 1329), strict=True))
    assert [s.effect for s in found] == [pytest.approx(0.82, abs=0.02), pytest.approx(0.462, abs=0.02)]
    assert [s.healthy_level for s in found] == [pytest.approx(33.0, abs=0.7)] * 2
    assert {s.direction for s in found} == {Direction.WORSE}


def test_a_steady_gpt_run_is_steady() -> None:
    drifts = of_kind(feed(Panel(), read_trace("nanogpt_flat")), SignalKind.DRIFT)
    assert [s for s in drifts if s.phase is not Phase.SUSPECTED] == []


def test_evaluation_pauses_are_bursts_and_soon_known_as_periodic() -> None:
    signals = feed(Panel(), read_trace("mlperf_gnn_wall"))
    assert confirmed(signals, SignalKind.DRIFT) == []
    pauses = [s for s in confirmed(signals, SignalKind.BURST) if (s.effect or 0.0) > 10.0]
    assert tuple(s.since_index for s in pauses) == PAUSES
    assert [s.cause for s in pauses] == [None, None, *["periodic_pause"] * 3]


def test_the_spikes_of_a_heavy_tailed_job_are_no_bursts() -> None:
    """Regression: a 98th percentile as the tail made bursts of one in a hundred steps, three times the usual."""
    found = confirmed(feed(Panel(), read_trace("mlperf_gnn_wall")), SignalKind.BURST)
    assert {s.since_index for s in found} - set(PAUSES) == set()


def test_a_long_pipeline_stage_is_not_a_straggler_when_groups_are_given() -> None:
    (signal,) = of_kind(run(read_trace("straggler_bytedance", STAGES)), SignalKind.STRAGGLER)
    assert (signal.phase, signal.workers) == (Phase.UNDECIDED, ())


def test_a_long_pipeline_stage_is_undecided_without_groups() -> None:
    (signal,) = of_kind(run(read_trace("straggler_bytedance")), SignalKind.STRAGGLER)
    assert (signal.phase, signal.cause, signal.workers) == (
        Phase.UNDECIDED,
        "possible_stage_imbalance",
        (3, 7),
    )
