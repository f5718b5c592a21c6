"""Whatever the situation: bounds, grid, limit, the global batch, and what a narrowed catalog allows."""

import dataclasses
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.situations import signal, situation

from modekeeper.gates.base import judge
from modekeeper.gates.case import GateCase
from modekeeper.gates.proposal import PROPOSAL_GATES
from modekeeper.model.decision import CurrentValueSource, Promise, Proposal, Target
from modekeeper.model.mode import Mode
from modekeeper.model.signal import Direction, Phase, Signal, SignalKind
from modekeeper.passports.templates import default_passport
from modekeeper.policy.catalog import Budget, Catalog, effective_catalog, find_chord, load_default
from modekeeper.policy.choose import propose
from modekeeper.policy.knobs import ACCUMULATION, KNOBS, MICROBATCH, Knob, is_on_grid, knob_named, snap
from modekeeper.policy.limits import Limits, exceeds
from modekeeper.policy.situation import KnownValue, Outcome, OutcomeState, Situation
from modekeeper.policy.vocabulary import INVARIANTS

DEFAULT = load_default()
CAUSES = [
    None,
    "input_bound",
    "memory_pressure",
    "announced_schedule",
    "periodic_pause",
    "stage_imbalance",
    "thermal_throttling",
]
NAMES = [name for knob in KNOBS for name in (knob.name, *knob.aliases)]

any_value = st.one_of(
    st.integers(min_value=-2, max_value=200).map(float),
    st.floats(min_value=-1e6, max_value=1e7),
    st.just(float("nan")),
)
signals = st.builds(
    signal,
    st.sampled_from(SignalKind),
    st.sampled_from(CAUSES),
    id=st.sampled_from(["a", "b", "c"]),
    phase=st.sampled_from(Phase),
    direction=st.sampled_from(Direction),
    metric=st.sampled_from(["step_time_ms", "throughput", "loss", "data_wait_ms"]),
    effect=st.one_of(st.none(), st.floats()),
)
known_values = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(KnownValue, value=any_value, source=st.sampled_from(CurrentValueSource)),
)
last_good = st.dictionaries(st.sampled_from([k.name for k in KNOBS]), any_value)
outcomes = st.builds(
    Outcome,
    chord_id=st.just("DRIFT-RETUNE"),
    knobs=st.lists(st.sampled_from([k.name for k in KNOBS]), max_size=3, unique=True).map(tuple),
    promise=st.just(Promise(metric="step_time_ms", direction="lower", at_least_rel=0.05, within_samples=200)),
    state=st.sampled_from(OutcomeState),
    improvement=st.one_of(st.none(), st.floats(min_value=-1, max_value=1)),
)
limits = st.builds(Limits, max_delta_per_step=st.floats(min_value=0, max_value=10))
policies = st.sampled_from(["chord", "scalar"])


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    found: list[Signal] = draw(st.lists(signals, max_size=4))
    case = situation(draw(st.sampled_from(Mode)), *found)
    return msgspec.structs.replace(
        case,
        known=draw(known_values),
        last_good=draw(last_good),
        outcome=draw(st.one_of(st.none(), outcomes)),
    )


@st.composite
def narrower(draw: st.DrawFn) -> Catalog:
    chords = []
    for chord in draw(st.lists(st.sampled_from(DEFAULT.chords), unique_by=lambda c: c.id)):
        knobs = draw(st.lists(st.sampled_from(KNOBS), unique_by=lambda k: k.name, max_size=6))
        words = draw(st.lists(st.sampled_from(sorted(INVARIANTS)), unique=True))
        fields: dict[str, Any] = {
            "knobs_touched": tuple(knob.name for knob in knobs),
            "invariants": tuple(sorted({*words, *draw(st.sampled_from([chord.invariants, ()]))})),
            "required_signals": tuple(draw(st.lists(st.sampled_from(SignalKind), unique=True, max_size=2))),
            "cooldown_ms": draw(st.one_of(st.none(), st.integers(min_value=0, max_value=10**7))),
            "budget": draw(
                st.one_of(
                    st.none(),
                    st.builds(
                        Budget,
                        max_changes=st.integers(min_value=1, max_value=9),
                        window_ms=st.integers(min_value=1000, max_value=10**8),
                    ),
                )
            ),
        }
        chords.append(msgspec.structs.replace(chord, **fields))
    return Catalog(schema_version=DEFAULT.schema_version, chords=tuple(chords))


@dataclasses.dataclass(frozen=True)
class Facts:
    now_ms: int
    planned_at_ms: tuple[int, ...]
    approved: bool


facts = st.builds(
    Facts,
    now_ms=st.integers(min_value=0, max_value=10**8),
    planned_at_ms=st.lists(st.integers(min_value=0, max_value=10**8), max_size=5).map(tuple),
    approved=st.booleans(),
)


def passes(proposal: Proposal, catalog: Catalog, limit: Limits, given_facts: Facts, case: Situation) -> bool:
    verdicts = judge(
        PROPOSAL_GATES,
        GateCase(
            passport=default_passport(),
            proposal=proposal,
            catalog=catalog,
            limits=limit,
            target=Target(namespace="ml", kind="Deployment", name="trainer"),
            now_ms=given_facts.now_ms,
            planned_at_ms=given_facts.planned_at_ms,
            last_good=case.last_good,
            approve_advanced=given_facts.approved,
        ),
    )
    return all(verdict.passed for verdict in verdicts)


def proposals(case: Situation, catalog: Catalog, limit: Limits, policy: str) -> tuple[Proposal, ...]:
    return propose(case, catalog, limit, policy="scalar" if policy == "scalar" else "chord")


@given(situations(), limits, policies)
def test_an_action_stays_in_its_bounds_on_its_grid_and_within_the_limit(
    case: Situation, limit: Limits, policy: str
) -> None:
    for proposal in proposals(case, DEFAULT, limit, policy):
        envelope = find_chord(DEFAULT, proposal.chord_id)
        assert envelope is not None
        assert bool(proposal.actions) == (proposal.promise is not None)
        for action in proposal.actions:
            knob = knob_named(action.knob)
            assert is_on_grid(knob, action.target)
            assert knob.lower <= action.current <= knob.upper
            assert action.target != action.current
            assert action.knob in envelope.knobs_touched
            if proposal.chord_id == "RECOVER-RELOCK":
                assert action.target == case.last_good[action.knob]
            else:
                assert not exceeds(limit, action.current, action.target)


@given(situations(), limits)
def test_the_global_batch_stays_exact(case: Situation, limit: Limits) -> None:
    for proposal in proposals(case, DEFAULT, limit, "chord"):
        pair = {a.knob: a for a in proposal.actions if a.knob in {MICROBATCH, ACCUMULATION}}
        if pair and proposal.chord_id != "RECOVER-RELOCK":
            size, count = pair[MICROBATCH], pair[ACCUMULATION]
            assert int(size.current) * int(count.current) == int(size.target) * int(count.target)
            assert size.target < size.current


@given(
    st.integers(min_value=1, max_value=4096),
    st.integers(min_value=1, max_value=512),
    st.floats(min_value=0, max_value=9),
)
def test_a_split_is_exact_and_the_smallest_one_allowed(size: int, count: int, most: float) -> None:
    values = {MICROBATCH: float(size), ACCUMULATION: float(count)}
    pressed = signal(SignalKind.DRIFT, "memory_pressure")
    limit = Limits(max_delta_per_step=most)
    (proposal,) = propose(situation(Mode.DRIFT, pressed, knobs=values), DEFAULT, limit)
    allowed = [
        smaller
        for smaller in range(1, size)
        if size * count % smaller == 0
        and size * count // smaller <= knob_named(ACCUMULATION).upper
        and not exceeds(limit, size, smaller)
        and not exceeds(limit, count, size * count // smaller)
    ]
    chosen = {a.knob: int(a.target) for a in proposal.actions}
    if not allowed:
        assert chosen == {}
    else:
        assert chosen == {MICROBATCH: max(allowed), ACCUMULATION: size * count // max(allowed)}


@given(situations(), limits, policies)
def test_the_same_situation_gives_the_same_bytes(case: Situation, limit: Limits, policy: str) -> None:
    once, again = (msgspec.json.encode(proposals(case, DEFAULT, limit, policy)) for _ in range(2))
    assert once == again


@given(situations(), limits, policies)
def test_the_baseline_has_at_most_one_action_and_words_stay_plain(case: Situation, limit: Limits, policy: str) -> None:
    chosen = proposals(case, DEFAULT, limit, policy)
    assert chosen
    worse = case.outcome is not None and case.outcome.state is OutcomeState.WORSE
    if policy == "scalar" and not worse:
        assert sum(len(proposal.actions) for proposal in chosen) <= 1
    for proposal in chosen:
        assert proposal.reason.isprintable()
        assert all(action.reason.isprintable() for action in proposal.actions)


@given(situations(), limits, policies, facts)
def test_what_the_policy_asks_for_keeps_every_invariant_the_gates_check(
    case: Situation, limit: Limits, policy: str, given_facts: Facts
) -> None:
    """Only time, budget and a person may stop a proposal of our own; a way back may also change the batch."""
    quiet = Facts(now_ms=given_facts.now_ms, planned_at_ms=(), approved=True)
    for proposal in proposals(case, DEFAULT, limit, policy):
        if proposal.chord_id != "RECOVER-RELOCK":
            assert passes(proposal, DEFAULT, limit, quiet, case)


@given(situations(), narrower(), limits, policies, facts)
def test_a_narrowed_catalog_never_allows_more(
    case: Situation, given_catalog: Catalog, limit: Limits, policy: str, given_facts: Facts
) -> None:
    effective, _ = effective_catalog(DEFAULT, given_catalog)
    again, problems = effective_catalog(DEFAULT, effective)
    assert (again, problems) == (effective, ())
    for proposal in (*proposals(case, effective, limit, policy), *proposals(case, DEFAULT, limit, policy)):
        if passes(proposal, effective, limit, given_facts, case):
            assert passes(proposal, DEFAULT, limit, given_facts, case)


@given(st.sampled_from(KNOBS), st.floats(min_value=-1e300, max_value=1e300))
def test_snapping_keeps_order(knob: Knob, value: float) -> None:
    assert snap(knob, value) <= snap(knob, value + abs(value) * 0.5 + 1)
