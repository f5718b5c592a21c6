"""From what the user chose to a writer. Nothing is imported that the choice does not need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from modekeeper.ports.clock import Clock
from modekeeper_pro.door.writer import Writer

__all__ = ["open_writer"]


def open_writer(
    client: Literal["api", "kubectl"],
    *,
    kubeconfig: Path | None,
    context: str | None,
    clock: Clock,
    environment: Mapping[str, str],
    request_timeout_s: float,
) -> Writer:
    """The writer that is meant. Nobody is asked anything yet. The door closes it.

    Raises:
        ClusterConfigError: the way to the cluster cannot be told.
    """
    if client == "kubectl":
        from modekeeper_pro.door._writers.kubectl import KubectlWriter  # noqa: PLC0415

        return KubectlWriter(
            kubeconfig=kubeconfig,
            context=context,
            clock=clock,
            environment=environment,
            request_timeout_s=request_timeout_s,
        )
    from modekeeper.cluster.access.finding import find_access  # noqa: PLC0415
    from modekeeper_pro.door._writers.api import ApiWriter  # noqa: PLC0415

    access = find_access(environment, kubeconfig, context)
    return ApiWriter(access, clock=clock, environment=environment, request_timeout_s=request_timeout_s)
