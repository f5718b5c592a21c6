"""Finds what can change a cluster, by its entry point alone. Whatever goes wrong with it is a reason not to use it."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport, Operation
from modekeeper.model.errors import ModeKeeperError
from modekeeper.policy.wording import shown
from modekeeper.ports.actuator import ACTUATOR_GROUP, Actuator, ApplyOrder

__all__ = ["ActuatorBrokeError", "carry_out", "find_actuator"]

_LONGEST_WHY = 160


class ActuatorBrokeError(Exception):
    """It broke off, or what it reports is no report of what it was asked for. What it changed is not known."""


def find_actuator() -> Actuator[K8sApplyReport] | str:
    """The installed actuator, or in one line why there is none to use."""
    found = tuple(entry_points(group=ACTUATOR_GROUP))
    if not found:
        return "the licensed package modekeeper-pro is not installed"
    if len(found) > 1:
        offers = ", ".join(sorted(shown(each.value) for each in found))
        return f"several installed packages offer to apply plans ({offers}): leave one"
    try:
        return _made(found[0])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code, and it is not needed to refuse
        return f"the installed package that applies plans cannot be loaded: {_told(error)}"


def carry_out(actuator: Actuator[K8sApplyReport], operation: Operation, order: ApplyOrder) -> K8sApplyReport:
    """Let it apply the plan, or take it back.

    Raises:
        ActuatorBrokeError: it broke off, or its report cannot be believed.
    """
    act = actuator.apply if operation is Operation.APPLY else actuator.rollback
    try:
        report: Any = act(order)
    except ModeKeeperError as error:
        raise ActuatorBrokeError(shown(str(error), _LONGEST_WHY)) from error
    except (Exception, SystemExit) as error:
        raise ActuatorBrokeError(f"the package that applies plans broke off: {_told(error)}") from error
    if not isinstance(report, K8sApplyReport):
        raise ActuatorBrokeError(f"the package that applies plans reports no K8sApplyReport: {_name(report)}")
    if report.operation is not operation or (report.apply_ok and report.block_reasons):
        raise ActuatorBrokeError("the report of the package that applies plans contradicts itself")
    return report


def _made(entry: EntryPoint) -> Actuator[K8sApplyReport]:
    loaded = entry.load()
    made = loaded() if isinstance(loaded, type) or not hasattr(loaded, "apply") else loaded
    for name in ("apply", "rollback"):
        if not callable(getattr(made, name, None)):
            raise TypeError(f"{_name(made)} has no {name}()")
    actuator: Actuator[K8sApplyReport] = made
    return actuator


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {shown(str(error), _LONGEST_WHY)}"


def _name(value: object) -> str:
    return shown(type(value).__name__)
