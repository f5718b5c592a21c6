"""Deployments for the nodes of the tests, and what their pods do: made by the admin, seen through the API server."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from tests.cluster.control_plane import Answer, ControlPlane, ControlPlaneError, wait_until
from tests.cluster.images import BUSYBOX, interpreter, interpreter_mounts

NODE_KIND = "modekeeper.invalid/node"
"""Label and taint of a node of the tests: ``real`` runs what it is given, ``fake`` only says so. A pod that names
neither goes to neither, and waits."""

Place = Literal["real", "fake"]

ANNOTATIONS = "/etc/podinfo/annotations"
"""The file in which a container of ``deployment`` finds the annotations of its pod."""

RUNNING_DEADLINE_S = 120.0


def placed(place: Place) -> dict[str, Any]:
    """What the spec of a pod says in order to run on a node of one kind."""
    toleration = {"key": NODE_KIND, "operator": "Equal", "value": place, "effect": "NoSchedule"}
    return {"nodeSelector": {NODE_KIND: place}, "tolerations": [toleration]}


def deployment(
    name: str,
    command: Sequence[str],
    *,
    replicas: int = 1,
    place: Place = "real",
    annotations: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    folders: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Deployment of busybox containers that find their pod's annotations in ``ANNOTATIONS``.

    ``annotations`` are the pods'. ``folders`` of the machine are there read-only at their own paths, by volume name.
    """
    folders = folders or {}
    mounts = [{"name": volume, "mountPath": path, "readOnly": True} for volume, path in folders.items()]
    annotation_file = {"path": Path(ANNOTATIONS).name, "fieldRef": {"fieldPath": "metadata.annotations"}}
    container = {
        "name": "trainer",
        "image": BUSYBOX,
        "imagePullPolicy": "Never",
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
        "volumeMounts": [{"name": "podinfo", "mountPath": str(Path(ANNOTATIONS).parent)}, *mounts],
    }
    spec = {
        **placed(place),
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "volumes": [
            {"name": "podinfo", "downwardAPI": {"items": [annotation_file]}},
            *({"name": volume, "hostPath": {"path": path}} for volume, path in folders.items()),
        ],
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels, "annotations": dict(annotations or {})}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def trainer(name: str = "trainer", *, step_time_ms: float = 100, **others: Any) -> dict[str, Any]:
    """A Deployment whose container runs ``trainer.py`` with this Python; ``others`` are those of ``deployment``."""
    command = [interpreter(), "-c", Path(__file__).with_name("trainer.py").read_text()]
    environment = {"STEP_TIME_MS": str(step_time_ms), "ANNOTATIONS": ANNOTATIONS, **others.pop("environment", {})}
    return deployment(name, command, environment=environment, folders=interpreter_mounts(), **others)


def created(plane: ControlPlane, namespace: str, manifest: Mapping[str, Any]) -> str:
    """Create a Deployment, and return its path.

    Raises:
        ControlPlaneError: it was refused.
    """
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    answer = plane.request("admin", path, "POST", manifest)
    if answer.status != 201:
        raise ControlPlaneError(f"the Deployment was refused: {answer.body}")
    return f"{path}/{manifest['metadata']['name']}"


def pods(plane: ControlPlane, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """The pods with the labels of ``selector``, the oldest first, without those that are about to go."""
    answer = plane.request("admin", f"/api/v1/namespaces/{namespace}/pods?{urlencode({'labelSelector': selector})}")
    found: list[dict[str, Any]] = answer.body["items"]
    staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return sorted(staying, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


def is_ready(thing: Mapping[str, Any]) -> bool:
    """Whether a pod or a node says that it is ready."""
    conditions = {each["type"]: each["status"] for each in thing["status"].get("conditions", [])}
    return conditions.get("Ready") == "True"


def ready_pods(plane: ControlPlane, namespace: str, count: int = 1, selector: str = "") -> list[dict[str, Any]]:
    """Wait until exactly so many pods are there and all are ready, and return them.

    Raises:
        ControlPlaneError: it was not so in time.
    """
    found: list[dict[str, Any]] = []

    def all_ready() -> bool:
        found[:] = pods(plane, namespace, selector)
        return len(found) == count and all(is_ready(pod) for pod in found)

    wait_until(all_ready, f"{count} pods are ready in {namespace}", RUNNING_DEADLINE_S)
    return found


def annotated(plane: ControlPlane, pod: Mapping[str, Any], annotations: Mapping[str, str]) -> Answer:
    """Patch annotations onto a live pod."""
    return plane.request("admin", path_of(pod), "PATCH", {"metadata": {"annotations": dict(annotations)}})


def log_of(plane: ControlPlane, pod: Mapping[str, Any], **query: str | float | bool) -> str:
    """The log of a pod's only container, as the API server gives it: ``tailLines=5``, ``previous=True`` …

    Raises:
        ControlPlaneError: it was refused.
    """
    words = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in query.items()}
    answer = plane.request("admin", f"{path_of(pod)}/log?{urlencode(words)}")
    if answer.status != 200:
        raise ControlPlaneError(f"no log of {pod['metadata']['name']}: {answer.body}")
    return str(answer.body)


def path_of(pod: Mapping[str, Any]) -> str:
    """The path of a pod in the API."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
