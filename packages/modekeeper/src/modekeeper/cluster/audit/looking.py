"""Reads the workloads and their live pods, then the receipts, and has them judged."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from modekeeper.cluster.audit.judge import POD, UnreceiptedChange, unreceipted
from modekeeper.cluster.audit.owned_fields import has_managers
from modekeeper.cluster.audit.receipt_book import read_book
from modekeeper.cluster.verify.asking import Asking, Told
from modekeeper.cluster.verify.facts import PODS
from modekeeper.model.cluster import JsonObject, ObjectList, ObjectRef
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError
from modekeeper.model.json_fields import text_at
from modekeeper.model.pod_selector import pod_selector
from modekeeper.model.untrusted import visible, visible_ends
from modekeeper.model.workload import find_workload_kind
from modekeeper.ports.cluster import ClusterReader

__all__ = ["Audit", "Incident", "audit", "find_unreceipted"]

_THREADS = 8
_NOT_FOUND = 404
_LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"


class Incident(NamedTuple):
    """A change without a receipt, and the workload it belongs to: itself, or the one of the pod."""

    target: Target
    change: UnreceiptedChange


class Unread(NamedTuple):
    """What could not be looked at. Nothing is known of it, so it is not fine."""

    target: Target
    text: str
    """One line."""


class Audit(NamedTuple):
    """What was looked at, and what was found."""

    folder: str
    """With the receipts."""
    receipts: int
    objects: int
    """Workloads and live pods that were read."""
    untold: int
    """Of these, those of which nobody is written down at all: somebody wiped that out, or no API server made them."""
    incidents: tuple[Incident, ...]
    unread: tuple[Unread, ...]

    @property
    def complete(self) -> bool:
        """Everything was looked at."""
        return not self.unread


class _Seen(NamedTuple):
    target: Target
    kind: str
    found: JsonObject


def find_unreceipted(reader: ClusterReader, targets: Iterable[Target], receipts_folder: Path) -> tuple[str, ...]:
    """One line for each change without a receipt, and for each workload that could not be looked at; none: all is well.

    Args:
        reader: the cluster.
        targets: the workloads; their live pods are looked at as well.
        receipts_folder: the ``--out`` of the applies. Receipts that cannot be relied on are a line too.
    """
    try:
        found = audit(reader, targets, receipts_folder)
    except BadInputError as error:
        return (str(error),)
    return (*(each.change.text for each in found.incidents), *(each.text for each in found.unread))


def audit(reader: ClusterReader, targets: Iterable[Target], receipts_folder: Path) -> Audit:
    """Look at the workloads, their live pods and the receipts. What the cluster answers is never raised.

    Raises:
        BadInputError: the receipts cannot be relied on.
    """
    wanted = sorted(set(targets))
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="audit")
    try:
        seen, unread = _read(reader, Asking(pool), wanted)
    finally:
        pool.shutdown(cancel_futures=True)
    # The receipts after the objects: an apply that is under way writes first, and then the receipt.
    book = read_book(receipts_folder)
    incidents = [Incident(each.target, change) for each in seen for change in unreceipted(each.kind, each.found, book)]
    return Audit(
        folder=receipts_folder.as_posix(),
        receipts=book.receipts,
        objects=len(seen),
        untold=sum(not has_managers(each.found) for each in seen),
        incidents=tuple(incidents),
        unread=tuple(unread),
    )


def _read(reader: ClusterReader, asking: Asking, wanted: list[Target]) -> tuple[list[_Seen], list[Unread]]:
    kinds = {target: find_workload_kind(target.kind) for target in wanted}
    refs = {t: ObjectRef(kind.resource(), t.namespace, t.name) for t, kind in kinds.items() if kind is not None}
    unread = [Unread(t, f"{_named(t)} is of a kind that this release does not know") for t in wanted if t not in refs]
    objects = asking.ask({target: partial(reader.get, ref) for target, ref in refs.items()})
    selectors = {
        target: pod_selector(target.kind, told.value) for target, told in objects.items() if told.value is not None
    }
    calls = {
        target: partial(reader.list, PODS, target.namespace, labels=selector, fields=_LIVE_PODS)
        for target, selector in selectors.items()
        if selector is not None
    }
    pods = asking.ask(calls)
    seen: list[_Seen] = []
    for target in refs:
        seen += _seen(target, objects[target], pods.get(target))
        unread += _unread(target, objects[target], pods.get(target))
    return seen, unread


def _seen(target: Target, told: Told[JsonObject], pods: Told[ObjectList] | None) -> Iterator[_Seen]:
    if told.value is not None:
        yield _Seen(target, target.kind, told.value)
    for pod in sorted(pods.value.items if pods is not None and pods.value is not None else (), key=_name):
        yield _Seen(target, POD, pod)


def _unread(target: Target, told: Told[JsonObject], pods: Told[ObjectList] | None) -> Iterator[Unread]:
    if told.status == _NOT_FOUND:
        return  # what is gone took its annotations with it
    if told.value is None:
        yield Unread(target, f"{_named(target)} could not be looked at: {visible_ends(str(told.error))}")
    elif pods is None:
        yield Unread(target, f"{_named(target)}: which pods belong to it cannot be told from the object")
    elif pods.value is None:
        yield Unread(target, f"the pods of {_named(target)} could not be looked at: {visible_ends(str(pods.error))}")


def _named(target: Target) -> str:
    return f"{visible(target.kind, 40)}/{visible(target.name, 60)} in namespace {visible(target.namespace, 60)}"


def _name(found: JsonObject) -> str:
    return text_at(found, "metadata", "name") or ""
