"""PromQL for the pods of one workload. Only checked names get into it, and they are escaped all the same.

Syntax: https://prometheus.io/docs/prometheus/latest/querying/basics/. A regular expression there is RE2, and anchored
at both ends; a string in double quotes has Go's escapes.
"""

import re
from collections.abc import Mapping

from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.counting import escape
from modekeeper.telemetry.prometheus.choice import PrometheusChoice

__all__ = ["PodSelector", "is_metric_name", "is_object_name", "quoted"]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_NAME = 253
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PARTS_BEHIND = "(-[a-z0-9]+){1,2}"
"""What controllers put behind the name of a workload: ``-0``; ``-7c6f9``; ``-5d8f7b6c9-x2x4z``; ``-worker-3``."""


def is_metric_name(text: str) -> bool:
    """Whether ``text`` is the name of a metric, and no expression."""
    return _METRIC.fullmatch(text) is not None


def is_object_name(text: str) -> bool:
    """Whether an object in Kubernetes, a pod for one, can be called ``text``."""
    return len(text) <= _LONGEST_NAME and all(_LABEL.fullmatch(part) for part in text.split("."))


def quoted(text: str) -> str:
    """``text`` as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class PodSelector:
    """The pods of one workload in one namespace: as label matchers, and as a check of what comes back.

    Raises:
        BadInputError: a name cannot be one of an object in Kubernetes.
    """

    def __init__(self, choice: PrometheusChoice) -> None:
        self._namespace = _checked("namespace", choice.namespace, dots=False)
        self._container = None if choice.container is None else _checked("container", choice.container, dots=False)
        names = [_checked("pod", pod, dots=True) for pod in sorted(set(choice.pods))]
        if choice.workload is not None:
            _checked("workload", choice.workload, dots=True)
        if names:
            self._pattern = "|".join(_literally(name) for name in names)
        else:
            self._pattern = f"{_literally(choice.workload or '')}{_PARTS_BEHIND}"
        self._is_ours = re.compile(self._pattern)

    @property
    def matchers(self) -> str:
        """Matchers of ``namespace`` and ``pod`` (and ``container``), without braces."""
        return self._matchers("")

    def series_of(self, metric: str, range_ms: int) -> str:
        """The last value of ``metric`` within ``range_ms`` of each moment, for every series of the pods.

        Where the server keeps its own ``pod`` label (``honor_labels: false``), ``pod`` names the exporter and
        ``exported_pod`` the workload's pod; where the exporter's label is honoured there is no ``exported_pod``.
        """
        exported = f"{metric}{{{self._matchers('exported_')}}}"
        honoured = f'{metric}{{exported_pod="",{self._matchers("")}}}'
        return f"last_over_time({exported}[{range_ms}ms]) or last_over_time({honoured}[{range_ms}ms])"

    def pod_of(self, labels: Mapping[str, str]) -> str | None:
        """The workload's pod that a series belongs to; ``None`` where it is none of ours."""
        prefix = "exported_" if labels.get("exported_pod") else ""
        pod = labels.get(f"{prefix}pod", "")
        if labels.get(f"{prefix}namespace") != self._namespace or not self._is_ours.fullmatch(pod):
            return None
        if self._container is not None and labels.get(f"{prefix}container") != self._container:
            return None
        return pod

    def _matchers(self, prefix: str) -> str:
        found = f"{prefix}namespace={quoted(self._namespace)},{prefix}pod=~{quoted(self._pattern)}"
        return found if self._container is None else f"{found},{prefix}container={quoted(self._container)}"


def _literally(name: str) -> str:
    """A checked name as a regular expression: a dot is all that means something else there."""
    return name.replace(".", "\\.")


def _checked(what: str, name: str, *, dots: bool) -> str:
    if not is_object_name(name) or (not dots and "." in name):
        shown = escape(name.encode("utf-8", "replace"), 80)
        raise BadInputError(
            f"'{shown}' is no {what} name in Kubernetes: give small letters, digits and dashes"
            f"{', parts of at most 63 joined by dots' if dots else ', at most 63'}."
        )
    return name
