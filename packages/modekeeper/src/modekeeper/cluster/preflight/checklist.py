"""All checks, in the order a person would ask, and what follows from them."""

from collections.abc import Callable, Sequence

from modekeeper.artifacts.contracts.preflight import BLOCKERS, PreflightBlocker, PreflightCheck
from modekeeper.cluster.preflight.checks import access, connection, gpu, owners, telemetry, workload
from modekeeper.cluster.preflight.facts import Facts

__all__ = ["CHECKS", "check_all", "top_blocker"]

CHECKS: tuple[Callable[[Facts], PreflightCheck], ...] = (
    connection.context,
    connection.reachable,
    connection.login,
    workload.namespace,
    workload.workload,
    access.observe_access,
    access.verify_access,
    telemetry.log_container,
    telemetry.telemetry_annotation,
    telemetry.annotations_file,
    gpu.gpu_capacity,
    gpu.device_plugin,
    gpu.workload_gpus,
    owners.owner,
    owners.horizontal_autoscaler,
    owners.vertical_autoscaler,
    owners.kueue,
)


def check_all(facts: Facts) -> tuple[PreflightCheck, ...]:
    """What every check found."""
    return tuple(check(facts) for check in CHECKS)


def top_blocker(checks: Sequence[PreflightCheck]) -> PreflightBlocker | None:
    """The blocker that comes first in the order of precedence; no checks at all block too."""
    if not checks:
        return "unknown"
    found = {check.blocker for check in checks}
    return next((blocker for blocker in BLOCKERS if blocker in found), None)
