"""From what the user chose to a reader of the cluster. Nothing is imported that the choice does not need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader

__all__ = ["ClusterChoice", "open_reader"]


class ClusterChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster, and how to ask it."""

    client: Literal["api", "kubectl"] = "api"
    kubeconfig: Path | None = None
    """``None``: as kubectl finds it: ``KUBECONFIG``, ``~/.kube/config``, or the pod this runs in."""
    context: str | None = None
    """``None``: the current one."""
    request_timeout_s: float = 30.0
    """How long one request may take, all its attempts included."""
    record: Path | None = None
    """Write every question and its answer there."""
    replay: Path | None = None
    """Ask no cluster: answer from this recording. The fields above are then without effect."""


def open_reader(choice: ClusterChoice, *, clock: Clock, environment: Mapping[str, str]) -> ClusterReader:
    """The reader that is meant. Nobody is asked anything yet. The caller closes it.

    Raises:
        ClusterConfigError: the way to the cluster cannot be told, or the recording cannot be read.
        BadInputError: the recording cannot be written there.
    """
    if choice.replay is not None:
        from modekeeper.cluster.replaying import ReplayReader  # noqa: PLC0415

        reader: ClusterReader = ReplayReader(choice.replay)
    else:
        reader = _live(choice, clock, environment)
    if choice.record is None:
        return reader
    from modekeeper.cluster.recording import RecordingReader  # noqa: PLC0415

    try:
        return RecordingReader(reader, choice.record, clock=clock)
    except BaseException:
        reader.close()
        raise


def _live(choice: ClusterChoice, clock: Clock, environment: Mapping[str, str]) -> ClusterReader:
    from modekeeper.cluster.rest_reader import RestReader  # noqa: PLC0415

    if choice.client == "kubectl":
        from modekeeper.cluster.kubectl.transport import KubectlTransport  # noqa: PLC0415

        return RestReader(
            KubectlTransport(
                kubeconfig=choice.kubeconfig,
                context=choice.context,
                clock=clock,
                environment=environment,
                request_timeout_s=choice.request_timeout_s,
            )
        )
    from modekeeper.cluster.access.finding import find_access  # noqa: PLC0415
    from modekeeper.cluster.api.transport import ApiTransport  # noqa: PLC0415

    access = find_access(environment, choice.kubeconfig, choice.context)
    return RestReader(
        ApiTransport(access, clock=clock, environment=environment, request_timeout_s=choice.request_timeout_s)
    )
