"""The knobs ModeKeeper knows: what each one means, how far it may go, and what turning it costs.

Bounds are a first guess on the safe side of what trainers accept; a passport may narrow them, nothing widens them.
Every bound and step is a whole number of the knob's unit, so grid arithmetic on floats is exact.
"""

import difflib
import math

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.model.decision import Action, Actuation, CurrentValueSource, RiskTier

__all__ = [
    "ACCUMULATION",
    "KNOBS",
    "MICROBATCH",
    "PREFETCH",
    "TIMEOUT",
    "WORKERS",
    "Knob",
    "action_for",
    "find_knob",
    "format_value",
    "is_on_grid",
    "knob_named",
    "registry_digest",
    "similar_knob",
    "snap",
]

PREFETCH = "dataloader_prefetch_factor"
WORKERS = "concurrency"
MICROBATCH = "microbatch_size"
ACCUMULATION = "grad_accum_steps"
TIMEOUT = "timeout_ms"


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """One tunable of the training process, in its own unit."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other names jobs use for it; proposals and plans use ``name``."""
    unit: str
    lower: float
    upper: float
    step: float = 1.0
    """A usable value is a whole number of steps above ``lower``."""
    actuation: Actuation = Actuation.HOT
    ranks_must_agree: bool = False
    tier: RiskTier = RiskTier.SAFE
    cost: str
    """What a higher value costs the job."""
    must_stay_true: tuple[str, ...] = ()
    """Names of invariants a change of this knob must keep."""
    integral: bool = True


KNOBS: tuple[Knob, ...] = (
    Knob(
        name=PREFETCH,
        unit="batches",
        lower=1.0,
        upper=64.0,
        cost="host memory",
        must_stay_true=("memory_ceiling", "epoch_order_and_content"),
    ),
    Knob(
        name=WORKERS,
        aliases=("dataloader_num_workers",),
        unit="processes",
        lower=1.0,
        upper=128.0,
        cost="CPU, host memory, file handles",
        must_stay_true=("cpu_request", "memory_ceiling", "epoch_order_and_content"),
    ),
    Knob(name="pin_memory", unit="0 or 1", lower=0.0, upper=1.0, cost="locked host memory"),
    Knob(
        name=MICROBATCH,
        unit="samples",
        lower=1.0,
        upper=65536.0,
        ranks_must_agree=True,
        cost="GPU memory; recompilation where shapes are static",
        must_stay_true=("global_batch",),
    ),
    Knob(
        name=ACCUMULATION,
        unit="steps",
        lower=1.0,
        upper=65536.0,
        ranks_must_agree=True,
        cost="efficiency of each step",
        must_stay_true=("global_batch",),
    ),
    Knob(
        name="comm_bucket_mb",
        unit="MB",
        lower=1.0,
        upper=1024.0,
        actuation=Actuation.COLD,
        ranks_must_agree=True,
        cost="GPU memory, overlap with computation; a restart",
    ),
    Knob(
        name="checkpoint_interval_steps",
        unit="steps",
        lower=1.0,
        upper=1_000_000.0,
        ranks_must_agree=True,
        cost="work lost to a failure",
        must_stay_true=("recovery_point",),
    ),
    Knob(
        name="eval_interval_steps",
        unit="steps",
        lower=1.0,
        upper=1_000_000.0,
        ranks_must_agree=True,
        cost="later news of the quality of the model",
        must_stay_true=("evaluation_schedule",),
    ),
    Knob(
        name="dataloader_timeout_s",
        unit="s",
        lower=1.0,
        upper=3600.0,
        ranks_must_agree=True,
        tier=RiskTier.ADVANCED,
        cost="hides a hung loader for longer",
        must_stay_true=("approval",),
        integral=False,
    ),
    Knob(
        name=TIMEOUT,
        unit="ms",
        lower=100.0,
        upper=3_600_000.0,
        step=100.0,
        ranks_must_agree=True,
        tier=RiskTier.ADVANCED,
        cost="hides a hung worker for longer",
        must_stay_true=("approval",),
        integral=False,
    ),
)

_BY_NAME = {name: knob for knob in KNOBS for name in (knob.name, *knob.aliases)}


def find_knob(name: str) -> Knob | None:
    """The knob with this name or alias."""
    return _BY_NAME.get(name)


def knob_named(name: str) -> Knob:
    """The knob with this name or alias.

    Raises:
        KeyError: nobody knows it; for names of the registry itself, which cannot be missing.
    """
    return _BY_NAME[name]


def similar_knob(name: str) -> str | None:
    """The known name or alias a mistyped ``name`` most likely meant."""
    return next(iter(difflib.get_close_matches(name[:64], sorted(_BY_NAME), n=1, cutoff=0.6)), None)


def registry_digest() -> str:
    """``sha256:<hex>`` of the registry: two releases with the same digest know the same knobs and bounds."""
    return canonical_digest(KNOBS)


def is_on_grid(knob: Knob, value: float) -> bool:
    """Whether the knob can take ``value``: inside its bounds, a whole number of steps above the lower one."""
    if not math.isfinite(value) or not knob.lower <= value <= knob.upper:
        return False
    return ((value - knob.lower) / knob.step).is_integer()


def snap(knob: Knob, value: float) -> float:
    """The value of the knob's grid next to ``value``; of two equally near ones, the lower.

    Raises:
        ValueError: ``value`` is not a finite number.
    """
    if not math.isfinite(value):
        raise ValueError(f"{knob.name} cannot be set to {value}")
    inside = min(max(value, knob.lower), knob.upper)
    steps = math.ceil((inside - knob.lower) / knob.step - 0.5)
    last = math.floor((knob.upper - knob.lower) / knob.step)
    return knob.lower + min(steps, last) * knob.step


def format_value(knob: Knob, value: float) -> str:
    """The one text for ``value``: plain decimal digits, no exponent, no sign, no trailing zeros.

    Raises:
        ValueError: ``value`` is not on the knob's grid.
    """
    if not is_on_grid(knob, value):
        raise ValueError(f"{value!r} {knob.unit} is no value of {knob.name}")
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def action_for(knob: Knob, *, current: float, source: CurrentValueSource, target: float, reason: str) -> Action:
    """The change of ``knob`` from ``current`` to ``target``, with everything the registry says of it."""
    return Action(
        knob=knob.name,
        unit=knob.unit,
        current=float(current),
        current_source=source,
        target=float(target),
        lower_bound=knob.lower,
        upper_bound=knob.upper,
        step=knob.step,
        actuation=knob.actuation,
        ranks_must_agree=knob.ranks_must_agree,
        reason=reason,
    )
