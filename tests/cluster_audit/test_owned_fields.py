"""What the API server wrote down of a field manager: read strictly, and never believed to be small or well formed."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modekeeper.cluster.audit.owned_fields import UnreadableFieldsError, has_managers, owned_fields


def managed(*entries: Any) -> dict[str, Any]:
    return {"metadata": {"managedFields": list(entries)}}


def entry(fields: Any, manager: str = "modekeeper", **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": "2026-01-31T09:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    } | more


def test_every_leaf_is_told_and_who_owns_an_object_itself() -> None:
    fields = {
        "f:metadata": {"f:annotations": {".": {}, "f:modekeeper/knob.x": {}}},
        "f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}}}},
    }
    (found,) = owned_fields(managed(entry({}, manager="kubectl"), entry(fields, subresource="status")), "modekeeper")
    assert found.paths == (
        ("f:metadata", "f:annotations", "."),
        ("f:metadata", "f:annotations", "f:modekeeper/knob.x"),
        ("f:spec", "f:containers", 'k:{"name":"main"}', "."),
        ("f:spec", "f:containers", 'k:{"name":"main"}', "f:image"),
    )
    assert (found.time, found.operation, found.subresource) == ("2026-01-31T09:00:00Z", "Update", "status")


@pytest.mark.parametrize("name", ["Modekeeper", "modekeeper ", " modekeeper", "modekeeper/x", "modekeep\u0435r", ""])
def test_another_name_is_somebody_else(name: str) -> None:
    assert owned_fields(managed(entry({"f:spec": {}}, manager=name)), "modekeeper") == ()


def test_nobody_is_written_down() -> None:
    assert not has_managers({"metadata": {}})
    assert not has_managers(managed())
    assert has_managers(managed(entry({})))
    assert owned_fields({"metadata": {}}, "modekeeper") == ()


def deep(depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for _ in range(depth):
        tree = {"f:x": tree}
    return tree


@pytest.mark.parametrize(
    "hostile",
    [
        {"metadata": {"managedFields": "all of them"}},
        {"metadata": {"managedFields": {"manager": "modekeeper"}}},
        managed(entry({}, fieldsType="FieldsV2")),
        managed(entry("everything")),
        managed(entry({"f:spec": [1]})),
        managed(entry({"f:spec": None})),
        managed(entry({"spec": {}})),
        managed(entry({"": {}})),
        managed(entry(deep(100_000))),
        managed(entry({f"f:{number}": {} for number in range(30_000)})),
        managed({"manager": 7, "fieldsType": "FieldsV1"}),
        managed("modekeeper"),
        managed(*([entry({})] * 1001)),
    ],
    ids=range(13),
)
def test_what_cannot_be_read_is_not_taken_for_nothing(hostile: dict[str, Any]) -> None:
    with pytest.raises(UnreadableFieldsError):
        owned_fields(hostile, "modekeeper")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["manager", "fieldsType", "fieldsV1", "f:a", ".", "k:{}", "modekeeper"]), inner
        )
    ),
    max_leaves=20,
)


@given(anything)
def test_whatever_a_cluster_sends_it_is_read_or_refused(hostile: Any) -> None:
    for found in (hostile, {"metadata": hostile}, {"metadata": {"managedFields": hostile}}, managed(entry(hostile))):
        with suppress(UnreadableFieldsError):
            assert all(path for each in owned_fields(found, "modekeeper") for path in each.paths)


trees: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.just({}),
    lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', "v:2"]), inner),
    max_leaves=12,
)


@given(trees)
def test_the_leaves_are_those_of_the_tree(tree: dict[str, Any]) -> None:
    def leaves(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if not node:
            return [path] if path else []
        return [leaf for step, below in node.items() for leaf in leaves(below, (*path, step))]

    (found,) = owned_fields(managed(entry(tree)), "modekeeper")
    assert list(found.paths) == sorted(leaves(tree))
