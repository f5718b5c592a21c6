"""From the options of a command to the settings of the loop."""

import os
from typing import NoReturn

from modekeeper.cli.console import warn
from modekeeper.cli.files import read_small_file
from modekeeper.cli.options import DecisionChoice
from modekeeper.cluster.kill_switch import KillSwitchSignals, switch_namespaces
from modekeeper.detect.settings import DetectorSettings
from modekeeper.gates.kill_switch import KILL_SWITCH_VARIABLE, KillSwitch
from modekeeper.loop.apply_request import ApplyRequest, KillSwitchLook
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError, RefusedError
from modekeeper.policy.catalog import choose_catalog, load_default
from modekeeper.policy.knobs import KNOBS, find_knob, similar_knob
from modekeeper.policy.limits import limits_from
from modekeeper.policy.wording import shown
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.acting import Hands
from modekeeper.reports.folder.decision_facts import CatalogUse

__all__ = ["apply_request", "detectors_from", "kill_switch_line", "kill_switch_look", "refuse_apply", "settings_from"]


def detectors_from(false_alarms_per_day: float | None) -> DetectorSettings:
    """The settings of the detectors; the one that is a user's to give, or its default."""
    if false_alarms_per_day is None:
        return DetectorSettings()
    return DetectorSettings(false_alarms_per_day=false_alarms_per_day)


def settings_from(decision: DecisionChoice, target: Target) -> tuple[LoopSettings, CatalogUse]:
    """The settings of the loop, and which catalog is in force.

    A given catalog that cannot be trusted changes nothing: the built-in one stays, and a warning says so.

    Raises:
        BadInputError: an option cannot be used.
    """
    data = None if decision.catalog is None else read_small_file(decision.catalog, "a chord catalog")
    choice = choose_catalog(load_default(), data)
    if choice.problems:
        first = choice.problems[0]
        verdict = "parts of it are" if choice.trusted else "it is"
        warn(
            f"WARNING: {decision.catalog}: {verdict} not trusted, the built-in catalog stays in force there: "
            f"{first.path}: {first.message}. See mk chords validate --catalog {decision.catalog}"
        )
    settings = LoopSettings(
        target=target,
        catalog=choice.catalog,
        policy=decision.policy,
        limits=limits_from(decision.max_delta_per_step),
        cooldown_s=decision.cooldown_s,
        approve_advanced=decision.approve_advanced,
        operator_knobs=_known_knobs(decision.knobs),
        detectors=detectors_from(decision.false_alarms_per_day),
    )
    source = "built-in" if decision.catalog is None or not choice.trusted else decision.catalog
    return settings, CatalogUse(source=source, trusted=choice.trusted)


def apply_request(hands: Hands | str | None) -> ApplyRequest:
    """The facts the gates of an apply look at, but for the kill-switch, which is looked at when they are asked.

    ``hands``: what applies, or why nothing can; ``None`` where nobody asked.
    """
    return ApplyRequest(requested=hands is not None, pro_installed=isinstance(hands, Hands))


def kill_switch_look(file: str | None, cluster: ClusterReader | None, namespace: str) -> KillSwitchLook:
    """Looks at every signal there is: a ConfigMap where a live cluster is read. Reports always say where it stands."""
    namespaces = () if cluster is None else switch_namespaces(cluster.context, [namespace])
    return KillSwitchSignals(environment=os.environ, file=file, reader=cluster, namespaces=namespaces).look


def refuse_apply(switch: KillSwitch, why_not: str) -> NoReturn:
    """End the command as a refusal, where nothing here can apply; its artifacts are on disk by now.

    Args:
        switch: as the artifacts say that it stood.
        why_not: why nothing can, in one line.

    Raises:
        RefusedError: always.
    """
    if switch.active:
        raise RefusedError(
            f"apply refused (kill_switch_active): {kill_switch_line(switch)} Nothing was changed; the plan is written."
        )
    raise RefusedError(f"apply refused (pro_not_installed): {why_not}. Nothing was changed; the plan is written.")


def kill_switch_line(switch: KillSwitch) -> str:
    """Which signal is on, in a sentence that names the variable, whichever it is."""
    if switch.signal == f"env:{KILL_SWITCH_VARIABLE}":
        return f"{KILL_SWITCH_VARIABLE} is set."
    return f"{shown(switch.signal or 'a signal', 300)} is on (like {KILL_SWITCH_VARIABLE}, it stops every change)."


def _known_knobs(knobs: dict[str, float]) -> dict[str, float]:
    known = {}
    for name, value in knobs.items():
        knob = find_knob(name)
        if knob is None:
            close = similar_knob(name)
            hint = f"Did you mean {close!r}?" if close else f"There is: {', '.join(k.name for k in KNOBS)}."
            raise BadInputError(f"--knob {name!r}: no such knob. {hint}")
        known[knob.name] = value
    return known
