"""Options of the commands that ask a cluster."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from modekeeper.cli.options import DURATION
from modekeeper.model.errors import BadInputError
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader

if TYPE_CHECKING:
    from modekeeper.cluster.opening import ClusterChoice

__all__ = ["ClusterOptions", "cluster_options", "opened_cluster"]

_MARK = "cluster__"
_SHORTEST_TIMEOUT_S = 0.1


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster to ask, and how, as asked for on the command line."""

    client: Literal["api", "kubectl"] = "api"
    kubeconfig: str | None = None
    context: str | None = None
    request_timeout_s: float = 10.0
    """Deadline of one question."""
    record_to: str | None = None
    """File that gets everything the cluster says."""
    replay_from: str | None = None
    """Such a file, to be asked instead of a cluster."""

    @property
    def choice(self) -> "ClusterChoice":
        """The same, as the cluster's adapters take it."""
        from modekeeper.cluster.opening import ClusterChoice  # noqa: PLC0415 - a usage error needs no client

        return ClusterChoice(
            client=self.client,
            kubeconfig=None if self.kubeconfig is None else Path(self.kubeconfig),
            context=self.context,
            request_timeout_s=self.request_timeout_s,
            record=None if self.record_to is None else Path(self.record_to),
            replay=None if self.replay_from is None else Path(self.replay_from),
        )


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--cluster-client`` and its neighbours; the command gets ``cluster``, a :class:`ClusterOptions`."""

    @wraps(function)
    def gather(**given: Any) -> Any:
        own = {key.removeprefix(_MARK): given.pop(key) for key in list(given) if key.startswith(_MARK)}
        return function(cluster=_checked(ClusterOptions(**own)), **given)

    decorated: Callable[..., Any] = gather
    for option in reversed(_options()):
        decorated = option(decorated)
    return decorated


def _checked(options: ClusterOptions) -> ClusterOptions:
    if options.request_timeout_s < _SHORTEST_TIMEOUT_S:
        raise BadInputError("--request-timeout leaves no time for an answer. Give one like 10s.")
    if options.record_to is not None and options.replay_from is not None:
        raise BadInputError(
            "--record-cluster and --replay-cluster contradict each other: a replay is a recording. Give one of the two."
        )
    if options.replay_from is not None and (options.kubeconfig is not None or options.context is not None):
        raise BadInputError("--replay-cluster asks no cluster: leave --kubeconfig and --context out.")
    return options


def _options() -> list[Callable[..., Any]]:
    return [
        click.option(
            "--cluster-client",
            "cluster__client",
            type=click.Choice(["api", "kubectl"]),
            default="api",
            show_default=True,
            help="Ask the API server directly, or through kubectl (KUBECTL names another program).",
        ),
        click.option(
            "--kubeconfig",
            "cluster__kubeconfig",
            metavar="FILE",
            help="Instead of KUBECONFIG, the kubeconfig of the home folder, or the service account of a pod.",
        ),
        click.option("--context", "cluster__context", metavar="NAME", help="Instead of the kubeconfig's current one."),
        click.option(
            "--request-timeout",
            "cluster__request_timeout_s",
            type=DURATION,
            default="10s",
            show_default=True,
            help="Deadline of each question to the cluster: 500ms, 10s, 1m.",
        ),
        click.option(
            "--record-cluster",
            "cluster__record_to",
            metavar="FILE",
            help="Keep everything the cluster says, for a later replay.",
        ),
        click.option(
            "--replay-cluster",
            "cluster__replay_from",
            metavar="FILE",
            help="Ask such a recording instead of a cluster.",
        ),
    ]


@contextmanager
def opened_cluster(options: ClusterOptions, clock: Clock, environment: Mapping[str, str]) -> Iterator[ClusterReader]:
    """The cluster that is meant, for as long as the block lasts.

    Raises:
        ClusterConfigError: the way to it cannot be told.
    """
    from modekeeper.cluster.opening import open_reader  # noqa: PLC0415 - a usage error needs no client

    reader = open_reader(options.choice, clock=clock, environment=environment)
    try:
        yield reader
    finally:
        reader.close()
