"""Options that several commands share, and the values they parse to."""

import math
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

import click
import msgspec

from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.planning.names import check_target

__all__ = [
    "DEFAULT_TARGET",
    "DURATION",
    "DecisionChoice",
    "apply_option",
    "cost_options",
    "decision_options",
    "examples",
    "false_alarms_option",
    "gathered",
    "json_option",
    "kill_switch_option",
    "license_option",
    "out_option",
    "passport_option",
    "target_options",
]

_DURATION = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 366 * 86400.0
LEAST_FALSE_ALARMS, MOST_FALSE_ALARMS = 1e-6, 1e6


DEFAULT_TARGET = Target(namespace="default", kind="Deployment", name="trainer")


class _Duration(click.ParamType[float]):
    """Seconds, or a number with a unit: ``90``, ``90s``, ``5m``, ``1h``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not a duration; give seconds or a number with a unit: 90, 90s, 5m, 1h", param, ctx)
        seconds = float(match["amount"]) * _SECONDS[match["unit"]]
        if seconds > _LONGEST_S:
            self.fail(f"{value!r} is longer than a year", param, ctx)
        return seconds


DURATION = _Duration()


class _Finite(click.FloatRange):
    """A number in a range; ``nan`` lies in every range as click sees it, and in none as a person does."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class DecisionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How to decide, as asked for on the command line."""

    policy: Literal["chord", "scalar"] = "chord"
    catalog: str | None = None
    cooldown_s: float | None = None
    max_delta_per_step: float | None = None
    approve_advanced: bool = False
    passport: str | None = None
    false_alarms_per_day: float | None = None
    knobs: dict[str, float] = {}


def false_alarms_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--false-alarms-per-day``: the command gets ``false_alarms_per_day``."""
    decorated: Callable[..., Any] = _false_alarms("false_alarms_per_day")(function)
    return decorated


def _false_alarms(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--false-alarms-per-day",
        name,
        type=_Finite(min=LEAST_FALSE_ALARMS, max=MOST_FALSE_ALARMS),
        metavar="NUMBER",
        help="False drift alarms that are put up with, a day and metric; 0.05 by default. More of them buy an earlier "
        "word of small changes.",
    )


def gathered(
    name: str, build: Callable[[dict[str, Any]], Any], options: list[Callable[..., Any]]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options whose values reach the command as one argument ``name``; each is declared as ``<name>__<field>``."""
    mark = f"{name}__"

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def gather(**given: Any) -> Any:
            own = {key.removeprefix(mark): given.pop(key) for key in list(given) if key.startswith(mark)}
            return function(**{name: build(own)}, **given)

        for option in reversed(options):
            gather = option(gather)
        return gather

    return decorate


def decision_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say how to decide; the command gets ``decision``."""

    def build(given: dict[str, Any]) -> DecisionChoice:
        return DecisionChoice(**given | {"knobs": _knobs(given["knobs"])})

    options = [
        click.option(
            "--policy",
            "decision__policy",
            type=click.Choice(["chord", "scalar"]),
            default="chord",
            show_default=True,
            help="Coordinated changes, or the one-knob baseline to compare with.",
        ),
        click.option(
            "--catalog", "decision__catalog", metavar="FILE", help="A chord catalog that narrows the built-in one."
        ),
        click.option(
            "--knob",
            "decision__knobs",
            multiple=True,
            metavar="NAME=VALUE",
            help="Current value of a knob, where the telemetry does not name it. May be repeated.",
        ),
        click.option(
            "--cooldown-s",
            "decision__cooldown_s",
            type=_Finite(min=0),
            help="Seconds between two changes by the same chord; never shorter than its catalog says.",
        ),
        click.option(
            "--max-delta-per-step",
            "decision__max_delta_per_step",
            type=_Finite(min=0),
            help="Largest relative change of a knob at once: 0.5 is plus or minus a half.",
        ),
        click.option(
            "--approve-advanced",
            "decision__approve_advanced",
            is_flag=True,
            help="Let cold and advanced changes into the plan.",
        ),
        passport_option("decision__passport"),
        _false_alarms("decision__false_alarms_per_day"),
    ]
    return gathered("decision", build, options)(function)


def passport_option(name: str = "passport") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--passport``: the command gets ``name``."""
    return click.option(
        "--passport",
        name,
        metavar="FILE|NAME",
        help="What is allowed for the workload: a file, or a name of mk passport templates. Else the built-in safe.",
    )


def _knobs(texts: tuple[str, ...]) -> dict[str, float]:
    knobs: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not (name and equals):
                raise ValueError  # noqa: TRY301 - one message for both
            knobs[name.strip()] = number = float(value)
            if not math.isfinite(number):
                raise ValueError  # noqa: TRY301
        except ValueError:
            raise BadInputError(
                f"--knob {text!r} is not NAME=VALUE with a number. Example: --knob dataloader_prefetch_factor=2"
            ) from None
    return knobs


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The workload a command is about; the command gets ``target``."""
    kinds = [known.kind for known in WORKLOAD_KINDS]
    options = [
        click.option(
            "--k8s-namespace",
            "target__namespace",
            default=DEFAULT_TARGET.namespace,
            show_default=True,
            metavar="NAME",
            help="Namespace of the workload.",
        ),
        click.option(
            "--k8s-deployment",
            "--k8s-name",
            "target__name",
            default=DEFAULT_TARGET.name,
            show_default=True,
            metavar="NAME",
            help="Name of the workload, of whatever kind it is.",
        ),
        click.option(
            "--k8s-kind",
            "target__kind",
            type=click.Choice(kinds, case_sensitive=False),
            default=DEFAULT_TARGET.kind,
            show_default=True,
            help="Kind of the workload.",
        ),
    ]
    return gathered("target", lambda given: check_target(Target(**given)), options)(function)


def cost_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--gpus`` and ``--gpu-hour-usd``: what an hour of the job costs."""
    function = click.option(
        "--gpu-hour-usd", type=_Finite(min=0), help="Price of one GPU-hour, for the cost in dollars."
    )(function)
    return click.option("--gpus", type=_Finite(min=0), help="GPUs of the job; else one for each worker seen.")(function)


def apply_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--dry-run/--apply``: the command gets ``dry_run``."""
    return click.option(
        "--dry-run/--apply",
        "dry_run",
        default=True,
        help="Plan only (the default), or apply: needs the licensed package.",
    )(function)


def license_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--license-path``: handed to the licensed package; here there is nothing it could open."""
    return click.option("--license-path", metavar="FILE", help="Licence for --apply; read by the licensed package.")(
        function
    )


def kill_switch_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--kill-switch-file``: the command gets ``kill_switch_file``."""
    return click.option(
        "--kill-switch-file",
        metavar="FILE",
        help="Stops every change while it exists, unless it says 0, false, no or off. Beside MODEKEEPER_KILL_SWITCH.",
    )(function)


def out_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--out``: where artifacts go."""
    return click.option(
        "--out", default=default, show_default=True, metavar="FOLDER", help="Folder the artifacts go to."
    )


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``: the report on standard output instead of a summary."""
    return click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")(function)


def examples(*lines: str) -> str:
    """The end of a help text: examples that can be pasted."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
