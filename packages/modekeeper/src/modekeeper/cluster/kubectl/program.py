"""The kubectl that is meant, and one run of it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from modekeeper.cluster.answers import shown
from modekeeper.cluster.processes import Finished, run_program
from modekeeper.model.cluster import ClusterConfigError

__all__ = ["GRACE_S", "MAX_ANSWER_BYTES", "KubectlProgram"]

MAX_ANSWER_BYTES = 64 * 2**20
GRACE_S = 2.0
"""How much longer than its own deadline a kubectl may take to say so."""


class KubectlProgram:
    """Which kubectl, with which kubeconfig and context.

    Args:
        environment: of kubectl, and of the login programs it starts. ``KUBECTL`` may name the program.
        kubeconfig: instead of ``KUBECONFIG`` and ``~/.kube/config``.
        context: instead of the current one.

    Raises:
        ClusterConfigError: there is no kubectl.
    """

    def __init__(self, environment: Mapping[str, str], kubeconfig: Path | None, context: str | None) -> None:
        named = environment.get("KUBECTL") or "kubectl"
        found = shutil.which(named, path=environment.get("PATH"))
        if found is None:
            raise ClusterConfigError(
                f"There is no program {shown(named, 100)}. Install it, name one with KUBECTL, "
                "or use --cluster-client api."
            )
        self.environment = environment
        self._words = [found]
        self._words += [f"--kubeconfig={kubeconfig}"] if kubeconfig is not None else []
        self._words += [f"--context={context}"] if context is not None else []

    def command(self, *words: str, timeout_s: float | None) -> list[str]:
        """The whole command. ``timeout_s`` is that of its requests, rounded to seconds; ``None`` is no end."""
        limit = "0" if timeout_s is None else f"{max(1, round(timeout_s))}s"
        return [*self._words, f"--request-timeout={limit}", *words]

    def run(
        self,
        *words: str,
        timeout_s: float,
        stopped: Callable[[], bool],
        stdin: bytes | None = None,
        inherits: bool = False,
    ) -> Finished:
        """One run, ended ``GRACE_S`` after its deadline, or once ``stopped``: then it has no return code.

        ``inherits``: it holds the locks of files that were made inheritable as long as it runs.

        Raises:
            ClusterConfigError: it could not be started.
            OutputTooLargeError: it printed more than any answer.
        """
        try:
            return run_program(
                self.command(*words, timeout_s=timeout_s),
                self.environment,
                timeout_s=timeout_s + GRACE_S,
                max_bytes=MAX_ANSWER_BYTES,
                stdin=stdin,
                stopped=stopped,
                inherits=inherits,
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ClusterConfigError(f"kubectl could not be started: {why}. Correct KUBECTL.") from None
