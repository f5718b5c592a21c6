from tests.policy.situations import EVERYTHING, outcome, signal, situation, straggler

from modekeeper.model.mode import Mode
from modekeeper.model.signal import Signal, SignalKind
from modekeeper.policy.catalog import load_default
from modekeeper.policy.choose import propose
from modekeeper.policy.limits import Limits
from modekeeper.policy.situation import OutcomeState

DRIFT = SignalKind.DRIFT


def actions(mode: Mode, *signals: Signal, policy: str = "scalar", knobs: dict[str, float] | None = None) -> int:
    case = situation(mode, *signals, knobs=EVERYTHING if knobs is None else knobs)
    chosen = propose(case, load_default(), Limits(), policy="scalar" if policy == "scalar" else "chord")
    return sum(len(proposal.actions) for proposal in chosen)


def test_the_baseline_moves_one_knob_by_one_step() -> None:
    case = situation(Mode.STRAGGLER, straggler("input_bound"), knobs={"concurrency": 8.0})
    (only,) = propose(case, load_default(), Limits(), policy="scalar")
    assert only.policy == "scalar"
    assert [(a.knob, a.current, a.target) for a in only.actions] == [("concurrency", 8.0, 9.0)]
    assert only.promise is not None


def test_the_baseline_acts_on_a_cause_it_does_not_know_where_chords_hold() -> None:
    assert actions(Mode.DRIFT, signal(DRIFT), policy="scalar") == 1
    assert actions(Mode.DRIFT, signal(DRIFT), policy="chord") == 0


def test_the_chords_move_more_than_one_knob_together_and_the_baseline_does_not() -> None:
    assert actions(Mode.STRAGGLER, straggler("input_bound"), policy="scalar") == 1
    assert actions(Mode.STRAGGLER, straggler("input_bound"), policy="chord") == 3


def test_the_baseline_leaves_alone_what_the_job_announced() -> None:
    for cause in ("announced_schedule", "announced_pause", "periodic_pause", "possible_stage_imbalance"):
        assert actions(Mode.DRIFT, signal(DRIFT, cause)) == 0


def test_the_baseline_holds_without_trouble_or_values() -> None:
    assert actions(Mode.NORMAL) == 0
    assert actions(Mode.RECOVER, signal(DRIFT)) == 0
    assert actions(Mode.DRIFT) == 0
    assert actions(Mode.DRIFT, signal(DRIFT), knobs={}) == 0


def test_the_baseline_takes_harm_back_like_the_chords() -> None:
    worse = outcome(OutcomeState.WORSE, "concurrency")
    case = situation(Mode.DRIFT, signal(DRIFT), outcome=worse, last_good={"concurrency": 2.0})
    (only,) = propose(case, load_default(), Limits(), policy="scalar")
    assert only.chord_id == "RECOVER-RELOCK"


def test_the_same_situation_gives_the_same_proposal() -> None:
    case = situation(Mode.DRIFT, signal(DRIFT, id="b"), signal(DRIFT, id="a", metric="throughput"))
    flipped = situation(Mode.DRIFT, *case.signals[::-1])
    one, two = (propose(c, load_default(), Limits(), policy="scalar")[0] for c in (case, flipped))
    assert one == two
    assert one.promise is not None
    assert (one.promise.metric, one.promise.direction) == ("throughput", "higher")
