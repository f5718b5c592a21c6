"""From the options of a command to what applies its plans; nothing where that is not installed."""

import os
from contextlib import AbstractContextManager
from functools import cache

from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport, Operation
from modekeeper.cli.actuators import ActuatorBrokeError, carry_out, find_actuator
from modekeeper.cli.applying import cluster_way
from modekeeper.cli.cluster_options import ClusterOptions, opened_cluster
from modekeeper.cli.k8s_apply import OVERRIDE_VARIABLE
from modekeeper.cli.options import DecisionChoice
from modekeeper.cluster.kubectl_version import KubectlVersion, kubectl_version
from modekeeper.ports.actuator import ApplyOrder
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.reports.folder.acting import Hands

__all__ = ["hands_for"]


def hands_for(
    cluster: ClusterOptions,
    clock: Clock,
    decision: DecisionChoice,
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
        license_path=license_path,
        approve_advanced=decision.approve_advanced,
        kill_switch_file=kill_switch_file,
        internal_override=bool(os.environ.get(OVERRIDE_VARIABLE)),
        environment=os.environ,
    )
