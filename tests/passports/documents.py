"""Passports for tests: documents as people write them, and every passport there can be."""

import json
from typing import Any

from hypothesis import strategies as st

from modekeeper.model.decision import Actuation
from modekeeper.passports.passport import (
    PASSPORT_SCHEMA,
    Approval,
    ApprovalRules,
    ChangeBudget,
    MetricGuard,
    Passport,
    TargetSelector,
)
from modekeeper.passports.reading import parse_passport
from modekeeper.passports.watched_metrics import LOWER_IS_BETTER
from modekeeper.policy.catalog import load_default
from modekeeper.policy.knobs import KNOBS, Knob
from modekeeper.policy.limits import KnobLimit
from modekeeper.policy.promises import HIGHER_IS_BETTER

CHORDS = tuple(chord.id for chord in load_default().chords)
FULL: dict[str, Any] = {
    "schema_version": "passport.v0",
    "name": "vision-train",
    "title": "What the vision team agreed to.",
    "targets": {"namespaces": ["ml", "vision"], "kinds": ["Deployment"], "names": ["trainer"]},
    "chords": ["DRIFT-RETUNE", "RECOVER-RELOCK"],
    "actuations": ["hot"],
    "max_delta_per_step": 0.5,
    "knobs": {"concurrency": {"min": 2, "max": 16, "max_step": 2}},
    "invariants": [{"metric": "step_time_ms", "not_worse_rel": 0.01}],
    "cooldown_s": 3600,
    "budget": {"max_changes": 2, "window_s": 86400},
    "approval": {"hot": "operator", "cold": "signed", "advanced": "signed", "chords": {"DRIFT-RETUNE": "signed"}},
}


def data(**changes: Any) -> bytes:
    """The bytes of ``FULL`` with other fields; a field that is ``...`` is left out."""
    fields = {name: value for name, value in (FULL | changes).items() if value is not ...}
    return json.dumps(fields).encode()


LAX: dict[str, Any] = {
    "schema_version": "passport.v0",
    "name": "lax",
    "title": "All that the product allows.",
    "chords": list(CHORDS),
    "actuations": ["hot", "cold"],
    "approval": {"hot": "none", "cold": "operator", "advanced": "operator"},
}


def passport(**changes: Any) -> Passport:
    """A passport that allows all there is, but for ``changes``."""
    return parse_passport(json.dumps(LAX | changes).encode())


def _limit(knob: Knob) -> st.SearchStrategy[KnobLimit]:
    most = int((knob.upper - knob.lower) / knob.step)
    grid = st.integers(0, most).map(lambda n: knob.lower + n * knob.step)
    step = st.floats(knob.step, knob.upper - knob.lower)
    bounds = st.tuples(st.none() | grid, st.none() | grid).map(
        lambda pair: pair if None in pair else (min(pair), max(pair))  # type: ignore[type-var]
    )
    return (
        st.tuples(bounds, st.none() | step)
        .map(lambda t: KnobLimit(min=t[0][0], max=t[0][1], max_step=t[1]))
        .filter(lambda limit: limit != KnobLimit())
    )


def _chords() -> st.SearchStrategy[tuple[str, ...]]:
    some = st.sets(st.sampled_from(CHORDS))
    return some.map(
        lambda found: tuple(sorted(found | {"RECOVER-RELOCK"} if found - {"NORMAL-HOLD", "RECOVER-RELOCK"} else found))
    )


LABELS = st.sampled_from(["a", "0", "ml", "train-2", "x" * 63])
NAMES = st.sampled_from(["a", "team", "team-2", "x" * 63])
TITLES = st.sampled_from(["t", "What we agreed to.", "\u00fc\u4e2d \U0001f680", "x" * 120])
MORE = st.sampled_from([Approval.OPERATOR, Approval.SIGNED])


@st.composite
def passports(draw: st.DrawFn) -> Passport:
    """Any passport that can be used."""
    chords = draw(_chords())
    words = st.none() | st.sets(LABELS, min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))
    kinds = st.none() | st.just(("Deployment",)) | st.just(("Job", "StatefulSet"))
    knobs = draw(st.lists(st.sampled_from(KNOBS), unique_by=lambda knob: knob.name, max_size=3))
    metrics = draw(st.sets(st.sampled_from(sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER))))
    return Passport(
        schema_version=PASSPORT_SCHEMA,
        name=draw(NAMES),
        title=draw(TITLES),
        targets=draw(st.none() | st.builds(TargetSelector, namespaces=words, kinds=kinds, names=words)),
        chords=chords,
        actuations=tuple(sorted(draw(st.sets(st.sampled_from(Actuation))))),
        max_delta_per_step=draw(st.none() | st.floats(0, 1)),
        knobs={knob.name: draw(_limit(knob)) for knob in sorted(knobs, key=lambda knob: knob.name)},
        invariants=tuple(MetricGuard(metric=metric, not_worse_rel=draw(st.floats(0, 1))) for metric in sorted(metrics)),
        cooldown_s=draw(st.none() | st.floats(0, 2_592_000)),
        budget=draw(
            st.none() | st.builds(ChangeBudget, max_changes=st.integers(1, 64), window_s=st.floats(1, 2_592_000))
        ),
        approval=ApprovalRules(
            hot=draw(st.sampled_from(Approval)),
            cold=draw(MORE),
            advanced=draw(MORE),
            chords={chord_id: draw(MORE) for chord_id in chords if draw(st.booleans())},
        ),
    )
