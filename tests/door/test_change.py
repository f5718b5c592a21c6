"""What can be a change: annotations of our own, of a workload, its pod template or a pod. Nothing else."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modekeeper.cluster.merge_patch import merged
from modekeeper.model.cluster import ObjectRef, Resource
from modekeeper.model.errors import RefusedError
from modekeeper.model.workload import WORKLOAD_KINDS, find_workload_kind
from modekeeper_pro.door.change import OWN_PREFIX, PODS, RECORD, Change, template_place

DEPLOYMENTS = WORKLOAD_KINDS[0].resource()
TRAINER = ObjectRef(DEPLOYMENTS, "train", "trainer")
KEY = "modekeeper/knob.concurrency"
TEMPLATE = ("spec", "template", "metadata", "annotations")


def change(**fields: Any) -> Change:
    plain: dict[str, Any] = {
        "ref": TRAINER,
        "place": RECORD,
        "values": ((KEY, "4"),),
        "uid": "0a-1b",
        "resource_version": "7",
    }
    return Change(**(plain | fields))


def test_the_patch_holds_the_preconditions_and_our_keys_alone() -> None:
    assert change().patch == {
        "metadata": {"uid": "0a-1b", "resourceVersion": "7", "annotations": {KEY: "4"}},
    }
    assert change(place=TEMPLATE, values=((KEY, None),)).patch == {
        "metadata": {"uid": "0a-1b", "resourceVersion": "7"},
        "spec": {"template": {"metadata": {"annotations": {KEY: None}}}},
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"place": ()},
        {"place": ("metadata", "labels")},
        {"place": ("spec",)},
        {"place": ("spec", "template", "spec", "annotations")},
        {"place": list(RECORD)},
        {"ref": ObjectRef(PODS, "train", "trainer-0"), "place": TEMPLATE},
        {"ref": ObjectRef(Resource("", "v1", "secrets", "Secret"), "train", "trainer")},
        {"ref": ObjectRef(Resource("", "v1", "pods/exec", "Pod"), "train", "trainer")},
        {"ref": ObjectRef(Resource("", "v1", "namespaces", "Namespace", namespaced=False), None, "train")},
        {"ref": ObjectRef(Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole"), "t", "x")},
        {"ref": ObjectRef(DEPLOYMENTS, None, "trainer")},
        {"ref": ObjectRef(DEPLOYMENTS, "train", "../trainer")},
        {"ref": ObjectRef(DEPLOYMENTS, "train", "trainer/scale")},
        {"ref": ObjectRef(DEPLOYMENTS, "train", "trainer?dryRun=All")},
        {"ref": ObjectRef(DEPLOYMENTS, "kube/system", "trainer")},
        {"values": ()},
        {"values": [(KEY, "4")]},
        {"values": ((KEY, "4"), (KEY, "5"))},
        {"values": (("modekeeper/z", "4"), ("modekeeper/a", "5"))},
        {"values": (("kubernetes.io/change-cause", "x"),)},
        {"values": (("modekeeper", "x"),)},
        {"values": (("modekeeper/", "x"),)},
        {"values": (("modekeeper/a/b", "x"),)},
        {"values": (("Modekeeper/a", "x"),)},
        {"values": (("modekeeper/a\n", "x"),)},
        {"values": ((KEY, "4" * 4097),)},
        {"values": ((KEY, "\ud800"),)},
        {"values": ((KEY, {"nested": "x"}),)},
        {"uid": ""},
        {"uid": None},
        {"resource_version": ""},
        {"resource_version": None},
        {"resource_version": "7&dryRun=All"},
    ],
)
def test_anything_else_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises((RefusedError, TypeError)):
        change(**fields)


def test_a_change_cannot_be_made_into_something_else_afterwards() -> None:
    made = change()
    with pytest.raises(AttributeError):
        made.place = ("spec",)  # type: ignore[misc]
    with pytest.raises(RefusedError):
        msgspec.structs.replace(made, place=("spec",))
    msgspec.structs.force_setattr(made, "values", (("app", "x"),))
    with pytest.raises(RefusedError):
        _ = made.patch


texts = st.text(max_size=12)
words = st.sampled_from(["metadata", "annotations", "spec", "template", "labels", "status"]) | texts
json_objects = st.recursive(
    texts | st.none() | st.booleans() | st.integers(),
    lambda inner: st.dictionaries(words | st.just(KEY), inner, max_size=4),
    max_leaves=12,
)


@given(
    kind=st.sampled_from([*WORKLOAD_KINDS, None]),
    hot=st.booleans(),
    values=st.dictionaries(texts.map(lambda text: OWN_PREFIX + text) | texts, texts | st.none(), max_size=4),
    place=st.lists(words, max_size=5).map(tuple) | st.none(),
    found=st.dictionaries(words, json_objects, max_size=4),
)
@example(kind=find_workload_kind("JobSet"), hot=False, values={f"{OWN_PREFIX}0": None}, place=None, found={})
def test_whatever_can_be_made_changes_annotations_of_ours_and_nothing_else(
    kind: Any, hot: bool, values: dict[str, str | None], place: Any, found: dict[str, Any]
) -> None:
    resource = PODS if kind is None else kind.resource()
    ours = RECORD if hot else template_place(resource)
    try:
        made = change(
            ref=ObjectRef(resource, "train", "trainer"),
            place=ours if place is None else place,
            values=tuple(sorted(values.items(), key=lambda each: each[0])),
        )
    except (RefusedError, TypeError):
        return
    assert all(key.startswith(OWN_PREFIX) for key, _ in made.values)
    standing = merged(found, nested(made.place, {"somebody/else": "x"}))
    after = merged(standing, made.patch)
    assert without_ours(after, made.place) == without_ours(standing, made.place)
    assert made.holds(after)


def nested(place: tuple[str, ...], inner: Any) -> Any:
    for step in reversed(place):
        inner = {step: inner}
    return inner


def without_ours(found: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """A copy without our annotations at the place, and without what the preconditions compare."""
    copy: dict[str, Any] = json.loads(json.dumps(found))
    metadata = copy.get("metadata")
    if isinstance(metadata, dict):
        for key in ("uid", "resourceVersion"):
            metadata.pop(key, None)
        if not metadata:
            del copy["metadata"]
    holds: Any = copy
    for step in place:
        holds = holds[step]
    for key in [key for key in holds if key.startswith(OWN_PREFIX)]:
        del holds[key]
    return copy
