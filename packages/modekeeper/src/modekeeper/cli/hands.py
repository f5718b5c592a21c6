"""From the options of a command to what applies its plans; nothing where that is not installed."""

import os
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport, Operation
from modekeeper.cli.actuators import ActuatorBrokeError, carry_out, find_actuator
from modekeeper.cli.applying import cluster_way
from modekeeper.cli.cluster_options import ClusterOptions, opened_cluster
from modekeeper.cli.k8s_apply import OVERRIDE_VARIABLE
from modekeeper.cluster.audit.looking import audit
from modekeeper.cluster.kubectl_version import KubectlVersion, kubectl_version
from modekeeper.loop.settings import LoopSettings
from modekeeper.model.decision import Target
from modekeeper.model.errors import FailedError
from modekeeper.ports.actuator import ApplyOrder
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.acting import Hands
from modekeeper.reports.folder.decision_facts import CatalogUse
from modekeeper.reports.folder.watch_acts import Audit

__all__ = ["audit_for", "hands_for"]


def hands_for(
    cluster: ClusterOptions,
    clock: Clock,
    settings: LoopSettings,
    catalog: CatalogUse,
    *,
    license_path: str | None,
    kill_switch_file: str | None,
) -> Hands | str:
    """What applies plans to ``cluster``, or in one line why nothing here can.

    Raises:
        BadInputError: a recording of a cluster was named: a change is neither recorded nor replayed.
    """
    actuator = find_actuator()
    if isinstance(actuator, str):
        return actuator
    found = actuator

    def actuate(operation: Operation, order: ApplyOrder) -> K8sApplyReport | str:
        try:
            return carry_out(found, operation, order)
        except ActuatorBrokeError as error:
            return str(error)

    def reader() -> AbstractContextManager[ClusterReader]:
        return opened_cluster(cluster, clock, os.environ)

    @cache
    def kubectl() -> KubectlVersion:
        return kubectl_version(os.environ)

    return Hands(
        actuate=actuate,
        reader=reader,
        kubectl=kubectl,
        way=cluster_way(cluster),
        passport=settings.passport,
        passport_source=catalog.passport_source,
        license_path=license_path,
        approve_advanced=settings.approve_advanced,
        kill_switch_file=kill_switch_file,
        internal_override=bool(os.environ.get(OVERRIDE_VARIABLE)),
        environment=os.environ,
    )


def audit_for(cluster: ClusterOptions, clock: Clock, target: Target, folder: Path) -> Audit | None:
    """Looks whether every change of ours to ``target`` has its receipt in ``folder``; ``None``: there is no cluster.

    What cannot be looked at is raised, and is no finding: the actuator looks for itself before it changes anything.
    """
    if cluster.replay_from is not None:
        return None

    def look() -> tuple[str, ...]:
        with opened_cluster(cluster, clock, os.environ) as reader:
            found = audit(reader, [target], folder)
        if found.unread and not found.incidents:
            raise FailedError(found.unread[0].text)
        return tuple(incident.change.text for incident in found.incidents)

    return look
