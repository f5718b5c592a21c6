"""Changes through kubectl processes: word lists, no shell, one process a change."""

import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from modekeeper.cluster.kubectl.answers import failure
from modekeeper.cluster.kubectl.program import KubectlProgram
from modekeeper.cluster.kubectl.transport import KubectlTransport
from modekeeper.cluster.processes import OutputTooLargeError
from modekeeper.cluster.requests import object_path
from modekeeper.cluster.rest_reader import RestReader
from modekeeper.cluster.retrying import AskAgainError
from modekeeper.model.cluster import (
    FIELD_MANAGER,
    ClusterUnreachableError,
    DryRunAnswer,
    JsonObject,
)
from modekeeper.ports.clock import Clock
from modekeeper_pro.door._writers.words import ask_to_change
from modekeeper_pro.door.change import Change

__all__ = ["KubectlWriter"]


class KubectlWriter:
    """A ``Writer`` that starts a kubectl for each change.

    Args:
        kubeconfig: instead of ``KUBECONFIG`` and ``~/.kube/config``.
        context: instead of the current one.
        clock: waits between the attempts of a dry run.
        environment: of kubectl; ``KUBECTL`` may name the program.
        request_timeout_s: how long one change may take.

    Raises:
        ClusterConfigError: there is no kubectl, or no such context.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None,
        context: str | None,
        clock: Clock,
        environment: Mapping[str, str],
        request_timeout_s: float,
    ) -> None:
        self._reader = RestReader(
            KubectlTransport(
                kubeconfig=kubeconfig,
                context=context,
                clock=clock,
                environment=environment,
                request_timeout_s=request_timeout_s,
            )
        )
        self._program = KubectlProgram(environment, kubeconfig, context)
        self._timeout_s = request_timeout_s
        self._closed = threading.Event()

    def dry_run(self, change: Change) -> DryRunAnswer:
        """As the port says; by the public package's dry run, which cannot do anything else."""
        return self._reader.dry_run(change.ref, change.patch)

    def write(self, change: Change) -> JsonObject:
        """As the port says."""
        asked = ask_to_change(change)
        if self._closed.is_set():
            raise ClusterUnreachableError("The connection to the cluster is closed.")
        try:
            # Where this process is killed, kubectl goes on: it holds the lock of the folder until it is done.
            done = self._program.run(
                *_words(change), timeout_s=self._timeout_s, stopped=self._closed.is_set, inherits=True
            )
        except OutputTooLargeError:
            raise ClusterUnreachableError(f"kubectl, asked to {asked}, printed more than any object.") from None
        if done.returncode is None:
            raise ClusterUnreachableError(f"kubectl did not {asked} within {self._timeout_s:g} s. Look what it did.")
        if done.returncode != 0:
            failed = failure(asked, done.stderr.decode(errors="replace"), change.ref.resource.group)
            raise failed.error if isinstance(failed, AskAgainError) else failed
        try:
            body = msgspec.json.decode(done.stdout)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise ClusterUnreachableError(f"kubectl, asked to {asked}, printed no object. Look what it did.")
        return body

    def close(self) -> None:
        """As the port says."""
        self._closed.set()
        self._reader.close()


def _words(change: Change) -> list[str]:
    """The only kubectl command of the product that changes something."""
    ref = change.ref
    object_path(ref)  # refuses names that could be taken for something else
    resource = ref.resource
    return [
        "patch",
        "--type=merge",
        f"--field-manager={FIELD_MANAGER}",
        "--output=json",
        "--show-managed-fields=true",
        f"--namespace={ref.namespace}",
        f"--patch={msgspec.json.encode(change.patch).decode()}",
        "--",
        f"{resource.plural}.{resource.version}.{resource.group}",
        ref.name,
    ]
