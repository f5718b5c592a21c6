"""What each chord does, and what it never does."""

import msgspec
import pytest
from tests.policy.situations import BATCH, EVERYTHING, LOADER, known, outcome, signal, situation, straggler

from modekeeper.model.decision import Action, CurrentValueSource, Proposal, RiskTier
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, SignalKind
from modekeeper.policy.catalog import Catalog, load_default
from modekeeper.policy.choose import CHORDS, propose
from modekeeper.policy.chords.normal_hold import healthy_values
from modekeeper.policy.limits import Limits
from modekeeper.policy.situation import KnownValue, OutcomeState, Situation

DRIFT, BURST, STARVATION = SignalKind.DRIFT, SignalKind.BURST, SignalKind.DATA_STARVATION


def first(case: Situation, limits: Limits | None = None) -> Proposal:
    return propose(case, load_default(), limits or Limits())[0]


def moves(proposal: Proposal) -> dict[str, tuple[float, float]]:
    return {action.knob: (action.current, action.target) for action in proposal.actions}


def test_the_library_and_the_catalog_know_the_same_chords() -> None:
    assert set(CHORDS) == {chord.id for chord in load_default().chords}


@pytest.mark.parametrize(
    ("mode", "chord_id"),
    [
        (Mode.NORMAL, "NORMAL-HOLD"),
        (Mode.DRIFT, "DRIFT-RETUNE"),
        (Mode.BURST, "BURST-ABSORB"),
        (Mode.STRAGGLER, "INPUT-STRAGGLER"),
        (Mode.RECOVER, "RECOVER-RELOCK"),
    ],
)
def test_every_mode_has_its_chord(mode: Mode, chord_id: str) -> None:
    proposal = first(situation(mode))
    assert (proposal.chord_id, proposal.mode, proposal.policy) == (chord_id, mode, "chord")
    assert proposal.risk_tier is RiskTier.SAFE
    assert proposal.reason
    assert proposal.promise is None


# NORMAL-HOLD


def test_a_healthy_job_is_left_alone() -> None:
    (only,) = propose(situation(Mode.NORMAL), load_default(), Limits())
    assert only.actions == ()


def test_the_healthy_values_are_remembered_only_while_healthy() -> None:
    aliased = {"dataloader_num_workers": 4.0, "microbatch_size": 2.5, "unheard_of": 1.0}
    assert healthy_values(situation(Mode.NORMAL, knobs=aliased)) == {"concurrency": 4.0}
    assert healthy_values(situation(Mode.RECOVER)) == {}
    assert healthy_values(situation(Mode.NORMAL, signal(SignalKind.GPU_UNDERUSED))) == {}
    assert healthy_values(situation(Mode.NORMAL, outcome=outcome(OutcomeState.PENDING))) == {}
    assert healthy_values(situation(Mode.NORMAL, outcome=outcome(OutcomeState.KEPT))) == EVERYTHING


# DRIFT-RETUNE


def test_a_drift_of_the_input_raises_the_cheapest_loader_knob_alone() -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound")))
    assert moves(proposal) == {"dataloader_prefetch_factor": (2.0, 3.0)}
    assert proposal.promise is not None
    assert (proposal.promise.metric, proposal.promise.direction) == ("step_time_ms", "lower")
    assert 0 < proposal.promise.at_least_rel < 0.5 / 1.5


def test_starvation_names_the_cause_of_a_drift() -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT), signal(STARVATION)))
    assert moves(proposal) == {"dataloader_prefetch_factor": (2.0, 3.0)}


def test_prefetch_at_its_bound_gives_way_to_workers() -> None:
    knobs = {"dataloader_prefetch_factor": 64.0, "concurrency": 4.0}
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), knobs=knobs))
    assert moves(proposal) == {"concurrency": (4.0, 6.0)}
    assert "knob_at_bound:dataloader_prefetch_factor" in proposal.notes


def test_prefetch_tried_without_effect_gives_way_to_workers() -> None:
    missed = outcome(OutcomeState.MISSED, "dataloader_prefetch_factor")
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), outcome=missed))
    assert moves(proposal) == {"concurrency": (4.0, 6.0)}
    assert "tried_without_effect:dataloader_prefetch_factor" in proposal.notes


def test_an_unknown_value_is_never_guessed() -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), knobs={"concurrency": 4.0}))
    assert moves(proposal) == {"concurrency": (4.0, 6.0)}
    assert proposal.notes == ("knob_value_unknown:dataloader_prefetch_factor",)
    nothing = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), knobs={}))
    assert nothing.actions == ()
    assert nothing.notes == ("knob_value_unknown:dataloader_prefetch_factor", "knob_value_unknown:concurrency")


def test_names_that_contradict_each_other_are_not_believed() -> None:
    knobs = {"concurrency": 4.0, "dataloader_num_workers": 8.0}
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), knobs=knobs))
    assert proposal.actions == ()
    assert "knob_value_contradictory:concurrency" in proposal.notes


@pytest.mark.parametrize("value", [0.0, -1.0, 2.5, 1e9, float("nan"), float("inf")])
def test_a_value_the_knob_cannot_have_is_not_believed(value: float) -> None:
    knobs = {"dataloader_prefetch_factor": value}
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound"), knobs=knobs))
    assert proposal.actions == ()
    assert "knob_value_out_of_bounds:dataloader_prefetch_factor" in proposal.notes


def test_the_action_says_who_named_the_current_value_and_why() -> None:
    case = situation(Mode.DRIFT, signal(DRIFT, "input_bound"))
    case = msgspec.structs.replace(case, known=known(LOADER, CurrentValueSource.OPERATOR))
    (action,) = first(case).actions
    assert action.current_source is CurrentValueSource.OPERATOR
    assert action.unit == "batches"
    assert "from 2 to 3 batches" in action.reason


@pytest.mark.parametrize(
    ("cause", "note"),
    [
        (None, "cause_unknown"),
        ("announced_schedule", "announced:announced_schedule"),
        ("thermal_throttling", "for_a_person:thermal_throttling"),
        ("bad_link", "for_a_person:bad_link"),
    ],
)
def test_without_a_cause_within_reach_nothing_is_tuned(cause: str | None, note: str) -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, cause)))
    assert proposal.actions == ()
    assert proposal.promise is None
    assert note in proposal.notes


def test_an_unknown_cause_says_what_would_make_it_known() -> None:
    assert "emit:data_wait_ms" in first(situation(Mode.DRIFT, signal(DRIFT))).notes


def test_an_announced_schedule_outweighs_every_other_cause() -> None:
    announced = signal(DRIFT, "announced_schedule", id="a")
    case = situation(Mode.DRIFT, announced, signal(DRIFT, "input_bound", id="b"), signal(STARVATION))
    assert first(case).actions == ()


def test_a_worse_loss_is_never_answered_with_a_knob() -> None:
    worse_loss = signal(DRIFT, "non_finite_loss", metric="loss", id="loss")
    proposal = first(situation(Mode.DRIFT, worse_loss, signal(DRIFT, "input_bound")))
    assert proposal.actions == ()
    assert "for_a_person:loss_worse" in proposal.notes


def test_suspicions_and_improvements_move_nothing() -> None:
    suspected = signal(DRIFT, "input_bound", phase=Phase.SUSPECTED)
    better = signal(DRIFT, "input_bound", direction=Direction.BETTER)
    for case in (situation(Mode.DRIFT, suspected), situation(Mode.DRIFT, better)):
        assert first(case).actions == ()


def test_short_memory_moves_microbatch_and_accumulation_together() -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "memory_pressure"), knobs=BATCH))
    assert moves(proposal) == {"microbatch_size": (8.0, 4.0), "grad_accum_steps": (4.0, 8.0)}
    assert all(action.ranks_must_agree for action in proposal.actions)


def test_the_smallest_exact_split_is_taken() -> None:
    knobs = {"microbatch_size": 6.0, "grad_accum_steps": 10.0}
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "memory_pressure"), knobs=knobs))
    assert moves(proposal) == {"microbatch_size": (6.0, 5.0), "grad_accum_steps": (10.0, 12.0)}


@pytest.mark.parametrize(
    ("knobs", "note"),
    [
        ({"microbatch_size": 8.0}, "knob_value_unknown:grad_accum_steps"),
        ({"microbatch_size": 1.0, "grad_accum_steps": 8.0}, "no_exact_split_within_limits"),
        ({"microbatch_size": 7.0, "grad_accum_steps": 1.0}, "no_exact_split_within_limits"),
        ({"microbatch_size": 7.5, "grad_accum_steps": 2.0}, "knob_value_out_of_bounds:microbatch_size"),
    ],
)
def test_without_an_exact_split_the_batch_stays(knobs: dict[str, float], note: str) -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "memory_pressure"), knobs=knobs))
    assert proposal.actions == ()
    assert note in proposal.notes


# BURST-ABSORB


def test_bursts_of_the_input_deepen_the_prefetch() -> None:
    proposal = first(situation(Mode.BURST, signal(BURST, "input_bound")))
    assert moves(proposal) == {"dataloader_prefetch_factor": (2.0, 3.0)}
    assert proposal.promise is not None


@pytest.mark.parametrize("cause", ["periodic_pause", "announced_pause"])
def test_pauses_made_on_purpose_are_not_chased(cause: str) -> None:
    proposal = first(situation(Mode.BURST, signal(BURST, cause), signal(STARVATION)))
    assert proposal.actions == ()
    assert f"announced:{cause}" in proposal.notes


def test_an_explained_pause_does_not_hide_a_burst_of_the_input() -> None:
    pause, real = signal(BURST, "periodic_pause", id="a"), signal(BURST, "input_bound", id="b")
    assert moves(first(situation(Mode.BURST, pause, real))) == {"dataloader_prefetch_factor": (2.0, 3.0)}


def test_bursts_nobody_can_explain_are_left_alone() -> None:
    proposal = first(situation(Mode.BURST, signal(BURST)))
    assert proposal.actions == ()
    assert {"cause_unknown", "emit:data_wait_ms", "emit:phase"} <= set(proposal.notes)


def test_bursts_beyond_reach_are_for_a_person() -> None:
    assert "for_a_person:bad_link" in first(situation(Mode.BURST, signal(BURST, "bad_link"))).notes


# INPUT-STRAGGLER


@pytest.mark.parametrize(
    "evidence",
    [
        (straggler("input_bound"),),
        (straggler(), signal(STARVATION)),
        (straggler(), signal(DRIFT, "input_bound")),
        (straggler(), signal(DRIFT, metric="data_wait_ms")),
    ],
)
def test_an_input_bound_straggler_gets_prefetch_and_workers(evidence: tuple[object, ...]) -> None:
    proposal = first(situation(Mode.STRAGGLER, *evidence))  # type: ignore[arg-type]
    assert moves(proposal) == {"dataloader_prefetch_factor": (2.0, 3.0), "concurrency": (4.0, 6.0)}
    assert "worker 6 (telemetry names node-3, H100)" in proposal.reason
    assert proposal.promise is not None


def test_a_straggler_without_a_cause_is_a_finding_for_a_person() -> None:
    proposal = first(situation(Mode.STRAGGLER, straggler()))
    assert proposal.actions == ()
    assert "worker 6 (telemetry names node-3, H100)" in proposal.reason
    assert {"cause_unknown", "emit:data_wait_ms", "for_a_person:slow_worker"} <= set(proposal.notes)


def test_a_straggler_with_a_cause_beyond_reach_is_for_a_person() -> None:
    case = situation(Mode.STRAGGLER, straggler("thermal_throttling"), signal(STARVATION))
    proposal = first(case)
    assert proposal.actions == ()
    assert "for_a_person:thermal_throttling" in proposal.notes


@pytest.mark.parametrize("cause", ["possible_stage_imbalance", "stage_imbalance"])
def test_a_long_stage_is_never_blamed_on_a_machine(cause: str) -> None:
    case = situation(Mode.STRAGGLER, straggler(cause), signal(STARVATION))
    for proposal in propose(case, load_default(), Limits()):
        assert proposal.actions == ()
        assert "node-3" not in proposal.reason
        assert proposal.notes == ("stage_imbalance",)


def test_a_machine_that_is_not_named_is_said_to_be_unnamed() -> None:
    proposal = first(situation(Mode.STRAGGLER, straggler("input_bound", nodes=(), gpu_models=(), workers=(1, 2))))
    assert "workers 1, 2 (telemetry names no machine)" in proposal.reason


def test_hostile_names_of_machines_stay_on_one_plain_line() -> None:
    nodes = ("evil\n\x1b[2Jnode\u202e" + "x" * 500,)
    proposal = first(situation(Mode.STRAGGLER, straggler("input_bound", nodes=nodes)))
    assert proposal.reason.isprintable()
    assert len(proposal.reason) < 300


# TIMEOUT-GUARD


def test_a_straggler_also_asks_for_patience_with_approval() -> None:
    _, guard = propose(situation(Mode.STRAGGLER, straggler()), load_default(), Limits())
    assert guard.chord_id == "TIMEOUT-GUARD"
    assert guard.risk_tier is RiskTier.ADVANCED
    assert moves(guard) == {"timeout_ms": (30000.0, 45000.0)}
    assert guard.promise is not None
    assert "approval" in guard.invariants


def test_an_unknown_timeout_is_not_guessed() -> None:
    _, guard = propose(situation(Mode.STRAGGLER, straggler(), knobs=LOADER), load_default(), Limits())
    assert guard.actions == ()
    assert guard.notes == ("knob_value_unknown:timeout_ms",)


def test_timeouts_are_asked_for_in_no_other_mode() -> None:
    for mode in (Mode.NORMAL, Mode.DRIFT, Mode.BURST, Mode.RECOVER):
        proposals = propose(situation(mode, straggler(), signal(DRIFT, "input_bound")), load_default(), Limits())
        assert all(action.knob != "timeout_ms" for p in proposals for action in p.actions)


# RECOVER-RELOCK


def test_without_a_change_recovery_only_waits() -> None:
    assert first(situation(Mode.RECOVER)).actions == ()


@pytest.mark.parametrize("state", [OutcomeState.PENDING, OutcomeState.KEPT, OutcomeState.MISSED])
def test_a_change_that_did_no_harm_stays(state: OutcomeState) -> None:
    case = situation(
        Mode.RECOVER, outcome=outcome(state, "concurrency", improvement=0.01), last_good={"concurrency": 2.0}
    )
    assert first(case).actions == ()


@pytest.mark.parametrize("mode", list(Mode))
def test_a_change_that_did_harm_is_taken_back_first_in_every_mode(mode: Mode) -> None:
    case = situation(
        mode,
        signal(DRIFT, "input_bound"),
        straggler("input_bound"),
        outcome=outcome(OutcomeState.WORSE, "concurrency", improvement=-0.2),
        last_good={"concurrency": 1.0},
    )
    (only,) = propose(case, load_default(), Limits(max_delta_per_step=0.1))
    assert only.chord_id == "RECOVER-RELOCK"
    assert moves(only) == {"concurrency": (4.0, 1.0)}
    assert "20.0% worse" in only.reason


def test_the_way_back_takes_both_halves_of_the_batch() -> None:
    case = situation(
        Mode.RECOVER,
        knobs={"microbatch_size": 4.0, "grad_accum_steps": 8.0},
        outcome=outcome(OutcomeState.WORSE, "microbatch_size"),
        last_good={"microbatch_size": 8.0, "grad_accum_steps": 4.0},
    )
    assert moves(first(case)) == {"grad_accum_steps": (8.0, 4.0), "microbatch_size": (4.0, 8.0)}


@pytest.mark.parametrize(
    ("changed", "last_good", "note"),
    [
        (("concurrency",), {}, "last_good_value_unknown:concurrency"),
        (("concurrency",), {"concurrency": 2.5}, "last_good_value_unknown:concurrency"),
        (("timeout_ms",), {"timeout_ms": 100.0}, "for_a_person:take_back_timeout_ms"),
        (("concurrency",), {"concurrency": 4.0}, "already_at_last_good"),
        (("concurrency", "timeout_ms"), {"concurrency": 2.0}, "for_a_person:take_back_timeout_ms"),
    ],
)
def test_half_a_way_back_is_not_taken(changed: tuple[str, ...], last_good: dict[str, float], note: str) -> None:
    case = situation(Mode.RECOVER, outcome=outcome(OutcomeState.WORSE, *changed), last_good=last_good)
    proposal = first(case)
    assert proposal.actions == ()
    assert note in proposal.notes


# all of them


@pytest.mark.parametrize("mode", [Mode.DRIFT, Mode.BURST, Mode.STRAGGLER])
@pytest.mark.parametrize("policy", ["chord", "scalar"])
def test_nothing_is_changed_while_a_promise_is_open(mode: Mode, policy: str) -> None:
    signals = (signal(DRIFT, "input_bound"), signal(BURST, "input_bound"), straggler("input_bound"))
    case = situation(mode, *signals, outcome=outcome(OutcomeState.PENDING, "concurrency"))
    for proposal in propose(case, load_default(), Limits(), policy="chord" if policy == "chord" else "scalar"):
        assert proposal.actions == ()
        assert proposal.notes == ("promise_pending:DRIFT-RETUNE",)


def test_a_limit_too_small_for_a_step_is_said() -> None:
    proposal = first(situation(Mode.DRIFT, signal(DRIFT, "input_bound")), Limits(max_delta_per_step=0.1))
    assert proposal.actions == ()
    assert "limited_to_no_step:dataloader_prefetch_factor" in proposal.notes


def test_a_chord_taken_out_of_the_catalog_is_never_played() -> None:
    catalog = load_default()
    fewer = Catalog(
        schema_version=catalog.schema_version,
        chords=tuple(c for c in catalog.chords if c.id not in {"DRIFT-RETUNE", "TIMEOUT-GUARD"}),
    )
    (only,) = propose(situation(Mode.DRIFT, signal(DRIFT, "input_bound")), fewer, Limits())
    assert (only.chord_id, only.actions) == ("NORMAL-HOLD", ())
    assert only.notes == ("chord_not_in_catalog:DRIFT-RETUNE",)
    assert len(propose(situation(Mode.STRAGGLER, straggler()), fewer, Limits())) == 1


def test_a_knob_taken_out_of_a_chord_is_never_touched() -> None:
    catalog = load_default()
    chords = tuple(
        msgspec.structs.replace(c, knobs_touched=("concurrency",)) if c.id == "DRIFT-RETUNE" else c
        for c in catalog.chords
    )
    narrow = Catalog(schema_version=catalog.schema_version, chords=chords)
    (only,) = propose(situation(Mode.DRIFT, signal(DRIFT, "input_bound")), narrow, Limits())
    assert moves(only) == {"concurrency": (4.0, 6.0)}


def test_a_signal_the_catalog_requires_is_waited_for() -> None:
    catalog = load_default()
    chords = tuple(
        msgspec.structs.replace(c, required_signals=(DRIFT, STARVATION)) if c.id == "DRIFT-RETUNE" else c
        for c in catalog.chords
    )
    strict = Catalog(schema_version=catalog.schema_version, chords=chords)
    without = situation(Mode.DRIFT, signal(DRIFT, "input_bound"))
    (only,) = propose(without, strict, Limits())
    assert (only.actions, only.notes) == ((), ("signal_missing:data_starvation",))
    with_it = situation(Mode.DRIFT, signal(DRIFT, "input_bound"), signal(STARVATION))
    assert propose(with_it, strict, Limits())[0].actions


def test_the_order_of_signals_and_knobs_does_not_matter() -> None:
    signals = [signal(DRIFT, "input_bound", id="b"), signal(DRIFT, None, id="a"), signal(STARVATION)]
    forward = situation(Mode.DRIFT, *signals)
    backward = msgspec.structs.replace(
        forward, signals=forward.signals[::-1], known=dict(reversed(list(forward.known.items())))
    )
    assert propose(forward, load_default(), Limits()) == propose(backward, load_default(), Limits())


def test_an_alias_is_understood_and_the_action_uses_the_known_name() -> None:
    value = KnownValue(value=4.0, source=CurrentValueSource.TELEMETRY)
    case = situation(Mode.DRIFT, signal(DRIFT, "input_bound"), known={"dataloader_num_workers": value})
    (action,) = first(case).actions
    assert isinstance(action, Action)
    assert (action.knob, action.target) == ("concurrency", 6.0)
