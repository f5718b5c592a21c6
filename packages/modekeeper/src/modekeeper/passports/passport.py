"""The passport of a workload, as plain data."""

from enum import StrEnum
from typing import Literal

import msgspec

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.model.decision import Actuation, PassportRef, Target
from modekeeper.policy.limits import KnobLimit

__all__ = [
    "PASSPORT_SCHEMA",
    "Approval",
    "ApprovalRules",
    "ChangeBudget",
    "MetricGuard",
    "Passport",
    "TargetSelector",
    "passport_bytes",
    "passport_ref",
    "selects",
]

PASSPORT_SCHEMA: Literal["passport.v0"] = "passport.v0"


class Approval(StrEnum):
    """Who has to say yes before a change is applied, the least first."""

    NONE = "none"
    OPERATOR = "operator"
    """Whoever applies it: ``--approve-advanced``."""
    SIGNED = "signed"
    """A second person, who signed the digest of the plan."""


class TargetSelector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The workloads a passport is for: one word of each list that is there. Lists are sorted; ``None``: any."""

    namespaces: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None


class MetricGuard(msgspec.Struct, frozen=True, kw_only=True):
    """A metric that no change may make worse."""

    metric: str
    not_worse_rel: float
    """What is put up with, relative to the level before the change: 0.01 is one percent."""


class ChangeBudget(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``max_changes`` of one workload, by all chords together, in any ``window_s``."""

    max_changes: int
    window_s: float


class ApprovalRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked for; of the rules that fit a change, the strictest counts."""

    hot: Approval
    cold: Approval
    advanced: Approval
    """Chords and knobs of the advanced tier, however they reach the job."""
    chords: dict[str, Approval] = {}
    """By chord id, what counts on top of that."""


class Passport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``passport.v0``: what is allowed for a workload. What is left out is as the product has it."""

    schema_version: Literal["passport.v0"]
    name: str
    title: str
    targets: TargetSelector | None = None
    """``None``: any workload."""
    chords: tuple[str, ...]
    """Chords that may act, sorted; none of them: nothing is changed."""
    actuations: tuple[Actuation, ...]
    """Ways a change may take, sorted."""
    max_delta_per_step: float | None = None
    """Largest change of a knob in one step, relative to its value."""
    knobs: dict[str, KnobLimit] = {}
    """By knob name, what it may be set to."""
    invariants: tuple[MetricGuard, ...] = ()
    cooldown_s: float | None = None
    """Shortest time between two changes of the workload, whichever chords make them."""
    budget: ChangeBudget | None = None
    approval: ApprovalRules


def passport_ref(passport: Passport) -> PassportRef:
    """Name and digest. The order of lists and fields, and how numbers were written, do not count."""
    return PassportRef(name=passport.name, digest=canonical_digest(passport))


def passport_bytes(passport: Passport) -> bytes:
    """The passport as a file; reading it gives the same passport."""
    return document(passport)


def selects(passport: Passport, target: Target | None) -> bool:
    """Whether it is a passport for ``target``; one that names workloads is for no unknown one."""
    wanted = passport.targets
    if wanted is None:
        return True
    if target is None:
        return False
    pairs = ((wanted.namespaces, target.namespace), (wanted.kinds, target.kind), (wanted.names, target.name))
    return all(words is None or word in words for words, word in pairs)
