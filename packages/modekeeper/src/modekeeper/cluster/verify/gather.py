"""Asks the cluster everything a plan's verdict needs: each question once, many at a time, in four rounds.

The answers do not depend on how the threads take turns: a round's questions follow from the answers of those before.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from modekeeper.cluster.answers import answer_error
from modekeeper.cluster.selectors import SelectorError, label_matcher
from modekeeper.cluster.verify.asking import Asking, Told
from modekeeper.cluster.verify.facts import NAMESPACES, NODES, PODS, DryRun, Facts, GpuFacts, ItemFacts
from modekeeper.cluster.verify.fields import at, text_at
from modekeeper.cluster.verify.predict import gpu_wanted
from modekeeper.cluster.verify.problems import is_no_answer
from modekeeper.cluster.verify.rights import ask_kind, item_questions, kind_questions, may
from modekeeper.cluster.verify.workloads import pod_selector
from modekeeper.cluster.wording import ask_to_get
from modekeeper.model.cluster import (
    AccessAnswer,
    AccessQuestion,
    ClusterAnswerError,
    JsonObject,
    ObjectList,
    ObjectRef,
    Resource,
)
from modekeeper.model.decision import Actuation, Plan
from modekeeper.model.workload import WORKLOAD_KINDS, WorkloadKind
from modekeeper.ports.cluster import ClusterReader

__all__ = ["gather"]

_THREADS = 16
_LIST_FROM = 4
"""So many objects of one kind and namespace are read in one list sooner than one by one."""
_ATTEMPTS = 3
"""Status writes move an object all the time; a dry run is compared with the object it was made of."""
_LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"
_FORBIDDEN, _NOT_FOUND = 403, 404


def gather(reader: ClusterReader, plan: Plan) -> Facts:
    """Everything there is to know about ``plan``. Never raises what the cluster answers: that is a fact too."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="verify")
    try:
        return _gathered(reader, plan, Asking(pool))
    finally:
        # Interrupted, it does not go on asking what is still waiting.
        pool.shutdown(cancel_futures=True)


def _gathered(reader: ClusterReader, plan: Plan, asking: Asking) -> Facts:
    version = asking.ask({"": reader.server_version})[""]
    if is_no_answer(version.error):
        silent = Told[JsonObject](error=version.error)
        items = [replace(item, namespace=silent) for item in _items(plan)]
        return Facts(plan=plan, context=reader.context, version=version, items=tuple(items))
    inquiry = _Inquiry(reader, asking, _items(plan))
    inquiry.ask_around()
    inquiry.read_objects()
    inquiry.read_beside()
    inquiry.try_patches()
    return Facts(
        plan=plan,
        context=reader.context,
        version=version,
        identity=inquiry.identity,
        namespaces=inquiry.namespaces,
        rights=inquiry.rights,
        gpus=inquiry.gpus,
        items=tuple(inquiry.items),
    )


def _items(plan: Plan) -> list[ItemFacts]:
    kinds = {kind.kind: kind for kind in WORKLOAD_KINDS}
    return [ItemFacts(index=i, item=item, kind=kinds.get(item.kind)) for i, item in enumerate(plan.items)]


@dataclass
class _Inquiry:
    """What is known so far."""

    reader: ClusterReader
    asking: Asking
    items: list[ItemFacts]
    identity: Told[JsonObject] = field(default_factory=Told)
    namespaces: dict[str, Told[JsonObject]] = field(default_factory=dict)
    rights: dict[AccessQuestion, Told[AccessAnswer]] = field(default_factory=dict)
    gpus: GpuFacts | None = None

    def ask_around(self) -> None:
        """First round: the namespaces, the API groups, our rights for whole kinds."""
        reader = self.reader
        names = sorted({item.item.namespace for item in self.items})
        refs = {name: ObjectRef(NAMESPACES, None, name) for name in ("kube-system", *names)}
        kinds = {item.kind for item in self.items if item.kind is not None}
        asked = {(i.kind, i.item.namespace, i.item.actuation) for i in self.items if i.kind is not None}
        questions = {question for each in asked for question in kind_questions(*each)}
        begun = self.asking.begin({name: partial(reader.get, ref) for name, ref in refs.items()})
        groups = self.asking.begin({g: partial(reader.served_versions, g) for g in sorted({k.group for k in kinds})})
        rights = self.asking.begin({q: partial(reader.can_i, q) for q in sorted(questions, key=repr)})
        answers, versions = self.asking.answers(begun), self.asking.answers(groups)
        self.rights |= self.asking.answers(rights)
        self.identity, self.namespaces = answers["kube-system"], {name: answers[name] for name in names}
        self.items = [_placed(item, self.namespaces, versions) for item in self.items]

    def read_objects(self) -> None:
        """Second round: the objects, many of a kind in one list."""
        wanted: dict[tuple[Resource, str], list[ObjectRef]] = defaultdict(list)
        for item in self.items:
            if item.ref is not None and not _is_missing(item.namespace):
                wanted[item.ref.resource, item.item.namespace].append(item.ref)
        many = {key for key, refs in wanted.items() if len(set(refs)) >= _LIST_FROM}
        lists = self.asking.begin({key: partial(self.reader.list, *key) for key in sorted(many)})
        got = self._got(ref for key, refs in wanted.items() if key not in many for ref in refs)
        found: dict[ObjectRef, Told[JsonObject]] = {}
        denied: list[ObjectRef] = []
        for key, told in self.asking.answers(lists).items():
            if told.status == _FORBIDDEN:
                denied += wanted[key]
            else:
                found |= _in_list(wanted[key], told)
        got |= self._got(denied)
        self.items = [
            replace(item, live=got.get(item.ref) or found.get(item.ref), was_got=item.ref in got)
            if item.ref is not None
            else item
            for item in self.items
        ]

    def _got(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, Told[JsonObject]]:
        return self.asking.ask({ref: partial(self.reader.get, ref) for ref in dict.fromkeys(refs)})

    def read_beside(self) -> None:
        """Third round: our rights for single names, the pods of hot items, the GPUs of the nodes."""
        names = {q: partial(self.reader.can_i, q) for item in self.items for q in self._named_questions(item)}
        rights = self.asking.begin(names)
        pods = self._begin_pods()
        if any(gpu_wanted(item) for item in self.items):
            lists: dict[str, Callable[[], ObjectList]] = {
                "nodes": partial(self.reader.list, NODES, None),
                "pods": partial(self.reader.list, PODS, None, fields=_LIVE_PODS),
            }
            told = self.asking.ask(lists)
            self.gpus = GpuFacts(nodes=told["nodes"], pods=told["pods"])
        self.rights |= self.asking.answers(rights)
        self.items = [replace(item, pods=pods(item)) for item in self.items]

    def _named_questions(self, item: ItemFacts) -> list[AccessQuestion]:
        if item.live is None or item.live.value is None:
            return []
        questions = item_questions(item)
        return [part[-1] for part in (questions.get, questions.patch) if may(self.rights, part) is False]

    def _begin_pods(self) -> Callable[[ItemFacts], Told[tuple[JsonObject, ...]] | None]:
        """Where the pods of many objects of a namespace are wanted, all its pods are read once."""
        selectors = {item.index: selector for item in self.items if (selector := _pods_wanted(item)) is not None}
        by_namespace: dict[str, set[str]] = defaultdict(set)
        for item in self.items:
            if item.index in selectors:
                by_namespace[item.item.namespace].add(selectors[item.index])
        calls: dict[tuple[str, str], Callable[[], ObjectList]] = {}
        for namespace, wanted in by_namespace.items():
            for selector in [""] if len(wanted) >= _LIST_FROM else sorted(wanted):
                calls[namespace, selector] = partial(
                    self.reader.list, PODS, namespace, labels=selector, fields=_LIVE_PODS
                )
        begun = self.asking.begin(calls)

        def pods(item: ItemFacts) -> Told[tuple[JsonObject, ...]] | None:
            selector = selectors.get(item.index)
            if selector is None:
                return None
            key = (item.item.namespace, selector)
            told = begun[key if key in begun else (item.item.namespace, "")].result()
            return Told(error=told.error) if told.value is None else Told(value=_live(told.value.items, selector))

        return pods

    def try_patches(self) -> None:
        """Fourth round: the dry runs of what we may patch."""
        tried = self.asking.begin({i.index: partial(self._tried, i) for i in self.items if self._may_try(i)})
        pods = {item.index: partial(self._tried_pod, item) for item in self.items if self._may_try_pod(item)}
        pods_tried = self.asking.begin(pods)
        patched, pods_patched = self.asking.answers(tried), self.asking.answers(pods_tried)
        self.items = [_tried(item, patched.get(item.index), pods_patched.get(item.index)) for item in self.items]

    def _may_try(self, item: ItemFacts) -> bool:
        there = item.live is not None and item.live.value is not None
        return there and may(self.rights, item_questions(item).patch) is not False

    def _may_try_pod(self, item: ItemFacts) -> bool:
        pods = item.pods.value if item.pods is not None else None
        question = ask_kind("patch", PODS, item.item.namespace)
        return bool(pods) and item.item.pod_patch is not None and may(self.rights, [question]) is not False

    def _tried(self, item: ItemFacts) -> DryRun:
        assert item.ref is not None and item.live is not None and item.live.value is not None  # noqa: S101, PT018
        return self._dry_run(item.ref, item.item.patch, item.live.value)

    def _tried_pod(self, item: ItemFacts) -> DryRun:
        assert item.pods is not None and item.pods.value is not None and item.item.pod_patch is not None  # noqa: S101, PT018
        pod = item.pods.value[0]
        ref = ObjectRef(PODS, item.item.namespace, text_at(pod, "metadata", "name") or "")
        return self._dry_run(ref, item.item.pod_patch, pod)

    def _dry_run(self, ref: ObjectRef, patch: JsonObject, before: JsonObject) -> DryRun:
        for attempt in range(_ATTEMPTS):
            after = self.reader.dry_run(ref, patch)
            if _version(after.object) == _version(before):
                return DryRun(before=before, after=after)
            if attempt < _ATTEMPTS - 1:
                before = self.reader.get(ref)
        return DryRun(before=before, after=after, moved=True)


def _tried(item: ItemFacts, dry_run: Told[DryRun] | None, pod_dry_run: Told[DryRun] | None) -> ItemFacts:
    """With the answers, and the object as it was when the last of them was given."""
    newest = dry_run.value.before if dry_run is not None and dry_run.value is not None else None
    live = item.live if newest is None else Told(value=newest)
    return replace(item, live=live, dry_run=dry_run, pod_dry_run=pod_dry_run)


def _placed(
    item: ItemFacts, namespaces: dict[str, Told[JsonObject]], versions: dict[str, Told[tuple[str, ...]]]
) -> ItemFacts:
    if item.kind is None:
        return replace(item, namespace=namespaces[item.item.namespace])
    served = versions[item.kind.group]
    resource = _resource(item.kind, served)
    ref = None if resource is None else ObjectRef(resource, item.item.namespace, item.item.name)
    return replace(item, namespace=namespaces[item.item.namespace], versions=served, ref=ref)


def _resource(kind: WorkloadKind, served: Told[tuple[str, ...]]) -> Resource | None:
    """Of the versions both sides know, the newest; where the served ones may not be read, our own newest."""
    if served.value is None:
        return None if is_no_answer(served.error) else kind.resource()
    return next((kind.resource(version) for version in kind.versions if version in served.value), None)


def _is_missing(told: Told[JsonObject] | None) -> bool:
    return told is not None and told.status == _NOT_FOUND


def _in_list(refs: Iterable[ObjectRef], told: Told[ObjectList]) -> dict[ObjectRef, Told[JsonObject]]:
    if told.value is None:
        return {ref: Told(error=told.error) for ref in refs}
    by_name = {text_at(found, "metadata", "name"): found for found in told.value.items}
    return {ref: Told(value=by_name[ref.name]) if ref.name in by_name else Told(error=_not_there(ref)) for ref in refs}


def _not_there(ref: ObjectRef) -> ClusterAnswerError:
    return answer_error(ask_to_get(ref), _NOT_FOUND, "NotFound", "it is not in the list of its namespace")


def _pods_wanted(item: ItemFacts) -> str | None:
    found = item.live.value if item.live is not None else None
    if item.item.actuation is not Actuation.HOT or found is None:
        return None
    selector = pod_selector(item.item.kind, found)
    try:
        label_matcher(selector or "")
    except SelectorError:
        return None
    return selector


def _live(pods: Iterable[JsonObject], selector: str) -> tuple[JsonObject, ...]:
    matches = label_matcher(selector)
    live = [pod for pod in pods if matches(pod) and at(pod, "metadata", "deletionTimestamp") is None]
    return tuple(sorted(live, key=lambda pod: text_at(pod, "metadata", "name") or ""))


def _version(found: JsonObject) -> str | None:
    return text_at(found, "metadata", "resourceVersion")
