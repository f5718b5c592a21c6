"""What carries our name against the receipts: each value accounted for, or an incident."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cluster_audit.test_owned_fields import entry
from tests.cluster_audit.test_receipt_book import KEY, RECORD, TEMPLATE, put, receipt
from tests.cluster_verify.worlds import pod, resource_of, workload, world

from modekeeper.cluster.answers import answer_error
from modekeeper.cluster.audit.judge import POD, unreceipted
from modekeeper.cluster.audit.looking import audit, find_unreceipted
from modekeeper.cluster.audit.receipt_book import Book, Slot, no_receipts
from modekeeper.cluster.memory import PODS
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError

TRAINER = Target(namespace="train", kind="Deployment", name="trainer")
OWNED: JsonObject = {"f:metadata": {"f:annotations": {".": {}, f"f:{KEY}": {}}}}
OWNED_TEMPLATE: JsonObject = {"f:spec": {"f:template": OWNED}}


def holding(value: str, *entries: Any, template: str | None = None, uid: str = "uid-1") -> dict[str, Any]:
    found = workload()
    found["metadata"] |= {"uid": uid, "annotations": {KEY: value}, "managedFields": list(entries)}
    if template is not None:
        found["spec"]["template"]["metadata"]["annotations"] = {KEY: template}
    return found


def book(**written: str | None) -> Book:
    """``record`` and ``template``: what the newest receipts say of the two places."""
    places = {"record": RECORD, "template": TEMPLATE}
    return Book({Slot("uid-1", places[name], KEY): value for name, value in written.items()}, len(written))


def test_what_the_newest_receipt_says_is_fine() -> None:
    both = OWNED | {"f:spec": OWNED_TEMPLATE["f:spec"]}
    found = holding("4", entry(both), template="6")
    assert unreceipted("Deployment", found, book(record="4", template="6")) == ()
    # The same value at the other place accounts for nothing.
    (change,) = unreceipted("Deployment", found, book(record="6", template="6"))
    assert change.keys == ((KEY, "4"),)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (no_receipts(), f"{KEY} is '9', no receipt"),
        (book(record="4"), f"{KEY} is '9', the newest receipt says '4'"),
        (book(record=None), f"{KEY} is '9', the newest receipt says not set"),
        (book(template="9"), f"{KEY} is '9', no receipt"),
    ],
)
def test_anything_else_is_an_incident(known: Book, why: str) -> None:
    (change,) = unreceipted("Deployment", holding("9", entry(OWNED)), known)
    assert change.why == why
    assert change.text == (
        "Deployment/trainer in namespace train was changed under our field manager without a receipt at "
        f"2026-01-31T09:00:00Z: {why}"
    )


def test_a_receipt_of_another_object_of_the_same_name_does_not_count() -> None:
    (change,) = unreceipted("Deployment", holding("4", entry(OWNED), uid="uid-2"), book(record="4"))
    assert change.uid == "uid-2"


def test_an_entry_of_any_operation_and_subresource_counts_and_somebody_elses_does_not() -> None:
    for more in ({"operation": "Apply"}, {"subresource": "status"}, {"time": None}):
        assert unreceipted("Deployment", holding("9", entry(OWNED, **more)), no_receipts())
    assert unreceipted("Deployment", holding("9", entry(OWNED, manager="kubectl")), no_receipts()) == ()


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        ("Deployment", {"f:spec": {"f:replicas": {}}}, "spec.replicas"),
        (
            "Deployment",
            {"f:metadata": {"f:annotations": {"f:somebody/else": {}}}},
            "metadata.annotations.somebody/else",
        ),
        ("Deployment", {"f:metadata": {"f:annotations": {"f:modekeeper": {}}}}, "metadata.annotations.modekeeper"),
        ("Deployment", {"f:metadata": {"f:labels": {"f:modekeeper/x": {}}}}, "metadata.labels.modekeeper/x"),
        ("Deployment", {"f:metadata": {}}, "metadata"),
        ("Deployment", {"f:metadata": {"f:labels": {".": {}}}}, "metadata.labels.."),
        ("Deployment", {".": {}}, "."),
        ("Deployment", {"f:metadata": {"f:annotations": {f"f:{KEY}": {"f:more": {}}}}}, KEY),
        (POD, OWNED_TEMPLATE, "spec.template.metadata.annotations"),
        ("JobSet", {"f:spec": {"f:template": OWNED}}, "spec.template.metadata.annotations"),
    ],
)
def test_our_name_on_anything_we_never_write_is_an_incident(kind: str, fields: Any, path: str) -> None:
    change = unreceipted(kind, holding("4", entry(fields)), book(record="4"))[-1]
    assert change.why.startswith("it owns what we never write: ")
    assert path in change.why


def test_annotations_that_are_owned_as_a_whole_are_looked_at_key_by_key() -> None:
    """Where a resource does not let them be owned one by one."""
    found = holding("4", entry({"f:metadata": {"f:annotations": {}}}))
    found["metadata"]["annotations"]["somebody/else"] = "x"
    assert unreceipted("Deployment", found, book(record="4")) == ()
    (change,) = unreceipted("Deployment", found, book(record="3"))
    assert change.keys == ((KEY, "4"),)


EMPTIED: JsonObject = {"f:metadata": {".": {}, "f:annotations": {}}}


@pytest.mark.parametrize(
    "fields", [{"f:spec": {"f:template": EMPTIED}}, {"f:spec": {"f:template": {"f:metadata": {}}}}]
)
def test_what_we_made_around_a_key_and_is_empty_again_is_no_incident(fields: JsonObject) -> None:
    """A custom resource keeps the empty object, and our name on it, while somebody else fills it."""
    theirs = entry(OWNED_TEMPLATE, manager="somebody")
    found = holding("2", entry(fields), theirs, template="9")
    assert unreceipted("Deployment", found, book(template="4")) == ()


def test_an_entry_that_cannot_be_read_is_an_incident() -> None:
    (change,) = unreceipted("Deployment", holding("4", entry({}, fieldsType="?\n?")), book(record="4"))
    assert "cannot be told" in change.text
    assert "\n" not in change.text


texts = st.none() | st.text(max_size=6)


@given(
    now=texts, newest=texts, template_now=texts, template_newest=texts, receipted=st.sets(st.sampled_from(["r", "t"]))
)
def test_exactly_what_differs_from_the_newest_receipt_is_found(
    now: str | None, newest: str | None, template_now: str | None, template_newest: str | None, receipted: set[str]
) -> None:
    both = OWNED | {"f:spec": OWNED_TEMPLATE["f:spec"]}
    found = holding("", entry(both), template="")
    places = (found["metadata"], found["spec"]["template"]["metadata"])
    for place, value in zip(places, (now, template_now), strict=True):
        place["annotations"] = {} if value is None else {KEY: value}
    said = {"r": ("record", newest), "t": ("template", template_newest)}
    known = book(**{said[each][0]: said[each][1] for each in receipted})
    wrong = ("r" not in receipted or now != newest) + ("t" not in receipted or template_now != template_newest)
    changes = unreceipted("Deployment", found, known)
    assert bool(changes) == bool(wrong)
    assert sum(change.why.count(KEY) for change in changes) == wrong


# Reading


def cluster(*entries: Any, pod_entries: tuple[Any, ...] = ()) -> Any:
    made = world()
    made.put(resource_of("Deployment"), holding("4", *entries))
    one = pod()
    one["metadata"] |= {"annotations": {KEY: "4"}, "managedFields": list(pod_entries)}
    made.put(PODS, one)
    return made


def uid(made: Any, resource: Any, name: str) -> str:
    found = next(each for each in made.list(resource, "train").items if each["metadata"]["name"] == name)
    text: str = found["metadata"]["uid"]
    return text


def test_the_workload_and_its_live_pods_are_read_and_told_apart(tmp_path: Path) -> None:
    made = cluster(entry(OWNED), pod_entries=(entry(OWNED),))
    put(tmp_path, 1, 1, receipt("4", uid=uid(made, resource_of("Deployment"), "trainer")))
    found = audit(made, [TRAINER, TRAINER], tmp_path)
    assert (found.objects, found.receipts, found.complete) == (2, 1, True)
    assert [(each.change.kind, each.target) for each in found.incidents] == [("Pod", TRAINER)]
    put(tmp_path, 1, 2, receipt("4", uid=uid(made, PODS, "trainer-0")))
    assert find_unreceipted(made, [TRAINER], tmp_path) == ()


def test_what_is_gone_is_nothing_and_what_cannot_be_read_is_not_fine(tmp_path: Path) -> None:
    gone = Target(namespace="train", kind="Deployment", name="gone")
    odd = Target(namespace="train", kind="Cronjob", name="odd")
    made = cluster(entry({}))
    assert find_unreceipted(made, [gone], tmp_path) == ()
    (line,) = find_unreceipted(made, [odd], tmp_path)
    assert "a kind that this release does not know" in line

    def no(*_args: Any, **_more: Any) -> Any:
        raise answer_error("list pods", 403, "Forbidden", "no\nway")

    made.list = no
    found = audit(made, [TRAINER], tmp_path)
    assert not found.complete
    (line,) = find_unreceipted(made, [TRAINER], tmp_path)
    assert line.startswith("the pods of Deployment/trainer in namespace train could not be looked at")
    assert "\n" not in line


def test_pods_that_cannot_be_told_are_not_fine(tmp_path: Path) -> None:
    made = world()
    found = holding("4", entry({}))
    found["spec"]["selector"] = {}
    made.put(resource_of("Deployment"), found)
    (line,) = find_unreceipted(made, [TRAINER], tmp_path)
    assert "which pods belong to it cannot be told" in line


def test_an_object_on_which_nobody_is_written_down_is_counted(tmp_path: Path) -> None:
    assert audit(cluster(), [TRAINER], tmp_path).untold == 2


def test_receipts_that_cannot_be_relied_on_are_said(tmp_path: Path) -> None:
    put(tmp_path, 1, 1, receipt("4")).write_text("{}")
    with pytest.raises(BadInputError, match="cannot be relied on"):
        audit(cluster(), [TRAINER], tmp_path)
    (line,) = find_unreceipted(cluster(), [TRAINER], tmp_path)
    assert "cannot be relied on" in line
