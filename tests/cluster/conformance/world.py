"""What the conformance suite needs of a cluster: objects put in past the reader, and readers of several users."""

import json
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from tests.cluster.control_plane import ControlPlane
from tests.cluster.rbac import grant

from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.memory import CONFIG_MAPS, NAMESPACES, MemoryCluster, Rule
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.cluster import JsonObject, ObjectRef, Resource
from modekeeper.ports.cluster import ClusterReader

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
Client = Literal["api", "kubectl"]


class World(Protocol):
    """One namespace of a cluster, with a reader that may do everything."""

    namespace: str
    reader: ClusterReader

    def put(self, resource: Resource, found: JsonObject) -> None: ...

    def delete(self, ref: ObjectRef) -> None: ...

    def limited(self, rules: Sequence[Rule]) -> ClusterReader:
        """A reader that may do only what the rules say, in this namespace."""
        ...


class MemoryWorld:
    def __init__(self) -> None:
        self.namespace = "research"
        self.cluster = MemoryCluster(user="admin")
        self.reader: ClusterReader = self.cluster
        self.cluster.put(NAMESPACES, {"metadata": {"name": self.namespace}})
        self._limited: list[MemoryCluster] = []

    def put(self, resource: Resource, found: JsonObject) -> None:
        body = found | {"metadata": found["metadata"] | {"namespace": self.namespace}}
        for cluster in (self.cluster, *self._limited):
            cluster.put(resource, body)

    def delete(self, ref: ObjectRef) -> None:
        self.cluster.delete(ref)

    def limited(self, rules: Sequence[Rule]) -> ClusterReader:
        cluster = MemoryCluster(
            user="guest",
            rules=[
                Rule(
                    verbs=rule.verbs,
                    groups=rule.groups,
                    resources=rule.resources,
                    names=rule.names,
                    namespaces=(self.namespace,),
                )
                for rule in rules
            ],
        )
        for resource in (CONFIG_MAPS, DEPLOYMENTS):
            for each in self.cluster.list(resource, self.namespace).items:
                cluster.put(resource, each)
        self._limited.append(cluster)
        return cluster


class RealWorld:
    def __init__(self, plane: ControlPlane, namespace: str, client: Client) -> None:
        self._plane = plane
        self._client: Client = client
        self._opened: list[ClusterReader] = []
        self.namespace = namespace
        self.reader = self.opened("admin")

    def opened(self, user: str, client: Client | None = None) -> ClusterReader:
        environment = {
            **self._plane.environment(user),
            "KUBECTL": str(self._plane.binaries / "kubectl"),
        }
        choice = ClusterChoice(client=client or self._client)
        reader = open_reader(choice, clock=SystemClock(), environment=environment)
        self._opened.append(reader)
        return reader

    def put(self, resource: Resource, found: JsonObject) -> None:
        path = self._path(resource)
        body = json.loads(json.dumps(found)) | {"apiVersion": resource.api_version, "kind": resource.kind}
        answer = self._plane.request("admin", path, "POST", body)
        if answer.status == 409:
            answer = self._plane.request("admin", f"{path}/{found['metadata']['name']}", "PUT", body)
        assert answer.status in {200, 201}, answer.body

    def delete(self, ref: ObjectRef) -> None:
        assert self._plane.request("admin", f"{self._path(ref.resource)}/{ref.name}", "DELETE").status == 200

    def limited(self, rules: Sequence[Rule]) -> ClusterReader:
        written: list[dict[str, Any]] = [
            {
                "verbs": list(rule.verbs),
                "apiGroups": list(rule.groups),
                "resources": list(rule.resources),
                **({"resourceNames": list(rule.names)} if rule.names else {}),
            }
            for rule in rules
        ]
        grant(self._plane, "guest", self.namespace, written)
        return self.opened("guest")

    def close(self) -> None:
        for reader in self._opened:
            reader.close()

    def _path(self, resource: Resource) -> str:
        root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        return f"{root}/namespaces/{self.namespace}/{resource.plural}"
