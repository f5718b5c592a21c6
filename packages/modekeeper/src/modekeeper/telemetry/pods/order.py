"""Which rank a pod is, where its records do not say: from the labels its controller gave it, else from its name."""

import re
from typing import Any

import msgspec

from modekeeper.model.cluster import JsonObject

__all__ = ["ORDER_LABELS", "PodOrder", "RankTable", "RankTableState", "natural", "pod_order"]

ORDER_LABELS: tuple[tuple[str, str | None, str], ...] = (
    (
        "batch.kubernetes.io/job-completion-index",
        "jobset.sigs.k8s.io/job-global-index",
        "Job and JobSet: job-completion-index, behind the job's index in its JobSet",
    ),
    (
        "training.kubeflow.org/replica-index",
        "training.kubeflow.org/replica-type",
        "PyTorchJob: replica-index, the master before the workers",
    ),
    (
        "leaderworkerset.sigs.k8s.io/worker-index",
        "leaderworkerset.sigs.k8s.io/group-index",
        "LeaderWorkerSet: worker-index, behind the group's index",
    ),
    ("volcano.sh/task-index", "volcano.sh/task-spec", "Volcano Job: task-index, behind the task's name"),
    ("apps.kubernetes.io/pod-index", None, "StatefulSet: pod-index"),
)
"""Label (or annotation) of the index in a group, that of the group, and what the documentation says of the two."""

_REVISION = "pod-template-hash"
_FIRST_GROUPS = ("master", "chief", "launcher", "head", "leader")
_HIGHEST = 65_535
_ORDINAL = re.compile(r"-(\d{1,5})\Z")
_DIGITS = re.compile(r"(\d+)")

Natural = list[tuple[int, int, str]]


class PodOrder(msgspec.Struct, frozen=True, array_like=True):
    """The place of a pod among those of its workload."""

    group: str = ""
    index: int | None = None
    """In its group; ``None`` where only its name gives an order."""
    name: str = ""
    revision: str = ""
    """Of the template it was made from: a rollout brings pods that take the places of others."""


def pod_order(pod: JsonObject) -> PodOrder:
    """What the labels of a pod say of its place."""
    metadata = _mapping(pod.get("metadata"))
    name = metadata.get("name")
    name = name if isinstance(name, str) else ""
    labels = _mapping(metadata.get("annotations")) | _mapping(metadata.get("labels"))
    revision = str(labels.get(_REVISION, ""))[:63]
    for index_label, group_label, _ in ORDER_LABELS:
        index = _index(labels.get(index_label))
        if index is not None:
            group = str(labels.get(group_label, ""))[:63] if group_label else ""
            return PodOrder(group.lower(), index, name, revision)
    ordinal = _ORDINAL.search(name)
    owners = metadata.get("ownerReferences")
    kinds = [owner.get("kind") for owner in owners if isinstance(owner, dict)] if isinstance(owners, list) else []
    if ordinal and "StatefulSet" in kinds:
        return PodOrder("", _index(ordinal[1]), name, revision)
    return PodOrder("", None, name, revision)


class RankTableState(msgspec.Struct, frozen=True, array_like=True):
    """A table at rest."""

    ranks: list[tuple[str, int, PodOrder]]
    leaving: list[str]
    expected: dict[str, PodOrder]


class RankTable:
    """Gives every pod a rank, and a pod that takes the place of another the same one.

    Where all pods are of one group and have an index in it, that is the rank. Else ranks are places in the order of
    group, index and name (``trainer-2`` before ``trainer-10``), given when the pods are first met.
    """

    def __init__(self) -> None:
        self._ranks: dict[str, int] = {}
        self._places: dict[tuple[str, int | None, str], int] = {}
        self._held: dict[tuple[str, int], str] = {}
        self._orders: dict[str, PodOrder] = {}
        self._expected: dict[str, PodOrder] = {}
        self._first_free: dict[str, int] = {}
        """No rank below is free in a revision."""

    def expect(self, key: str, order: PodOrder) -> None:
        """A pod that comes later: it gets its rank when it is asked for, when the one it replaces may have gone."""
        if key not in self._ranks:
            self._expected[key] = order

    def meet(self, pods: dict[str, PodOrder]) -> None:
        """Pods that are new, by key; together, because only together have they an order."""
        new = {key: order for key, order in pods.items() if key not in self._ranks}
        indexed = all(order.index is not None for order in new.values()) and len({o.group for o in new.values()}) == 1
        for key, order in sorted(new.items(), key=lambda item: (_sort_key(item[1]), item[0])):
            place = (order.group, order.index, order.name if order.index is None else "")
            rank = self._places.get(place)
            if rank is None:
                rank = self._free(order.revision, order.index if indexed else None)
            self._places[place] = rank
            self._ranks[key] = rank
            self._orders[key] = order
            self._held[order.revision, rank] = key

    def leave(self, key: str) -> None:
        """A pod that is gone."""
        self.make_room(key)
        for held in (self._ranks, self._orders, self._expected):
            held.pop(key, None)

    def make_room(self, key: str) -> None:
        """A pod that is about to end keeps its rank, but another one may have it too."""
        rank, order = self._ranks.get(key), self._orders.get(key)
        if rank is None or order is None:
            return
        if self._held.get((order.revision, rank)) == key:
            del self._held[order.revision, rank]
            self._first_free[order.revision] = min(rank, self._first_free.get(order.revision, 0))
        if order.index is None:
            self._places.pop((order.group, None, order.name), None)

    def rank(self, key: str) -> int:
        """The rank of a pod; 0 for one never met."""
        if key in self._expected:
            self.meet({key: self._expected.pop(key)})
        return self._ranks.get(key, 0)

    def state(self) -> RankTableState:
        """Everything needed to go on elsewhere."""
        ranks = [(key, rank, self._orders[key]) for key, rank in self._ranks.items()]
        leaving = [
            key for key, rank in self._ranks.items() if self._held.get((self._orders[key].revision, rank)) != key
        ]
        return RankTableState(ranks, leaving, dict(self._expected))

    def restore(self, state: RankTableState) -> None:
        """Go on from ``state``."""
        for held in (self._ranks, self._places, self._held, self._orders, self._first_free):
            held.clear()
        self._expected = dict(state.expected)
        for key, rank, order in state.ranks:
            self._ranks[key], self._orders[key] = rank, order
            if key in state.leaving:
                continue
            self._held[order.revision, rank] = key
            self._places[order.group, order.index, order.name if order.index is None else ""] = rank

    def _free(self, revision: str, index: int | None) -> int:
        rank = self._first_free.get(revision, 0) if index is None else index
        while (revision, rank) in self._held and rank < _HIGHEST:
            rank += 1
        if index is None:
            self._first_free[revision] = rank
        return rank


def natural(text: str) -> Natural:
    """Sorts ``trainer-2`` before ``trainer-10``."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(text[:253]) if part]


def _sort_key(order: PodOrder) -> tuple[int, Natural, int, Natural]:
    first = 0 if order.group in _FIRST_GROUPS else 1
    return first, natural(order.group), -1 if order.index is None else order.index, natural(order.name)


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_HIGHEST)):
        return min(int(value), _HIGHEST)
    return None


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
