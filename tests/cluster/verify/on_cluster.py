"""Plans verified on the real API server, and the objects they are for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane, wait_until
from tests.cluster.workloads import placed
from tests.cluster_verify.worlds import LABELS, plan_of, pod_template, workload

from modekeeper.artifacts.contracts.k8s_verify import VerifyItem
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.cluster.verify.gather import gather
from modekeeper.cluster.verify.judge import Judgement, judge
from modekeeper.model.cluster import JsonObject, Resource
from modekeeper.model.decision import PlanItem
from modekeeper.model.workload import WORKLOAD_KINDS
from modekeeper.ports.cluster import ClusterReader

CRDS = Path(__file__).parents[1] / "crds"
IMAGE = "registry.invalid/trainer:1"
RESOURCES = {known.kind: known.resource() for known in WORKLOAD_KINDS}


@contextmanager
def reading(plane: ControlPlane, user: str) -> Iterator[ClusterReader]:
    choice = ClusterChoice(kubeconfig=plane.kubeconfig(user), request_timeout_s=30)
    reader = open_reader(choice, clock=SystemClock(), environment=plane.environment(user))
    try:
        yield reader
    finally:
        reader.close()


def verify(plane: ControlPlane, user: str, *items: PlanItem) -> Judgement:
    with reading(plane, user) as reader:
        return judge(gather(reader, plan_of(*items)))


def verified(plane: ControlPlane, user: str, one: PlanItem) -> VerifyItem:
    return verify(plane, user, one).items[0]


def path_of(resource: Resource, namespace: str, name: str = "") -> str:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    return f"{root}/namespaces/{namespace}/{resource.plural}" + (f"/{name}" if name else "")


def running_template(**metadata: Any) -> JsonObject:
    """A pod template that the fake nodes run, and that the API server accepts."""
    template = pod_template(**metadata)
    template["spec"]["containers"][0]["image"] = IMAGE
    template["spec"] |= placed("fake") | {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    return template


def manifest(kind: str, *, name: str = "trainer", metadata: JsonObject | None = None, **spec: Any) -> JsonObject:
    """An object of the kind as a user would write it."""
    found = workload(kind, **deepcopy(spec))
    found["metadata"] = {"name": name, **(metadata or {})}
    found.pop("status", None)
    resource = RESOURCES[kind]
    if "template" in found["spec"] and "template" not in spec:
        found["spec"]["template"] = running_template()
    if kind == "Job":
        found["spec"].pop("selector")
        found["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    return {"apiVersion": resource.api_version, "kind": resource.kind, **found}


def create(plane: ControlPlane, namespace: str, kind: str, **settings: Any) -> JsonObject:
    body = manifest(kind, **settings)
    answer = plane.request("admin", path_of(RESOURCES[kind], namespace), "POST", body)
    assert answer.status == 201, answer.body
    made: JsonObject = answer.body
    return made


def create_pod(plane: ControlPlane, namespace: str, name: str, labels: dict[str, str]) -> None:
    template = running_template()
    body = {"metadata": {"name": name, "labels": labels}, "spec": template["spec"]}
    answer = plane.request("admin", f"/api/v1/namespaces/{namespace}/pods", "POST", body)
    assert answer.status == 201, answer.body


def pods(plane: ControlPlane, namespace: str) -> list[JsonObject]:
    items: list[JsonObject] = plane.request("admin", f"/api/v1/namespaces/{namespace}/pods").body["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def wait_for_pods(plane: ControlPlane, namespace: str, count: int) -> list[JsonObject]:
    """Exactly so many pods, all of them running on fake nodes."""

    def there() -> bool:
        found = pods(plane, namespace)
        return len(found) == count and all(pod["status"].get("phase") == "Running" for pod in found)

    wait_until(there, f"{count} pods run in {namespace}", 60)
    return pods(plane, namespace)


def apply_for_real(plane: ControlPlane, one: PlanItem) -> int:
    """What the licensed package would do; the HTTP status."""
    path = path_of(RESOURCES[one.kind], one.namespace, one.name)
    return plane.request("admin", f"{path}?fieldValidation=Strict", "PATCH", one.patch).status


def grant_yaml(plane: ControlPlane, text: str) -> None:
    """An administrator does what a hint asks for, to the letter."""
    done = plane.kubectl("admin", "apply", "--filename=-", stdin=text)
    assert done.returncode == 0, done.stderr


def install_crds(plane: ControlPlane) -> None:
    done = plane.kubectl("admin", "apply", "--filename", str(CRDS))
    assert done.returncode == 0, done.stderr

    def established() -> bool:
        listed = plane.kubectl("admin", "get", "customresourcedefinitions", "--output=json")
        found = json.loads(listed.stdout)["items"]
        mine = [crd for crd in found if crd["spec"]["group"] != "kwok.x-k8s.io"]
        return all({"Established": "True"}.items() <= _conditions(crd).items() for crd in mine)

    wait_until(established, "the custom resources are served")


def _conditions(crd: dict[str, Any]) -> dict[str, str]:
    """One that was made a moment ago has none yet."""
    return {each["type"]: each["status"] for each in crd.get("status", {}).get("conditions") or ()}


TEMPLATE_LABELS = dict(LABELS)
