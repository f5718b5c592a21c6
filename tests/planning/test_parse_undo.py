"""A rollback plan from outside."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cluster_verify.worlds import KEY, item, plan_of

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.model.decision import Actuation, Target
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse_undo import parse_rollback_plan
from modekeeper.planning.undo import rollback_plan

PLAN = plan_of(item(Actuation.COLD), item(Actuation.HOT))
TARGET = Target(namespace="train", kind="Deployment", name="trainer")


def sealed(*path: Any, to: Any) -> bytes:
    """A good one with one value changed, under a digest that fits."""
    plain = json.loads(document(rollback_plan(PLAN, {})))
    inner = plain
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    plain.pop("digest")
    return json.dumps({**plain, "digest": canonical_digest(plain)}).encode()


@given(st.none() | st.text(max_size=50))
def test_what_was_there_before_comes_back_as_it_was(text: str | None) -> None:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        return
    made = rollback_plan(PLAN, {}, {TARGET: {} if text is None else {KEY: text}})
    assert parse_rollback_plan(document(made)) == made


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be read"),
        (b"{}", "wrong shape"),
        (sealed("force", to=True), "unknown field"),
        (sealed("items", 0, "force", to=True), "unknown field"),
        (sealed("items", 0, "keys", KEY, "force", to=1), "unknown field"),
        (sealed("schema_version", to="rollback_plan.v9"), "wrong shape"),
        (sealed("items", 0, "name", to="../x"), "no object name"),
        (sealed("items", 0, "kind", to="Secret"), "Secret"),
        (sealed("items", 0, "keys", to={}), "takes nothing back"),
        (sealed("items", 0, "keys", to={"image": {"value": "x", "source": "cluster"}}), "leads back to"),
        (sealed("items", 0, "keys", to={"modekeeper/knob.nope": {"value": "x", "source": "cluster"}}), "leads back to"),
        (sealed("items", 0, "keys", KEY, "source", to="somebody"), "leads back to"),
        (sealed("items", 0, "keys", KEY, "value", to="9" * 5000), "leads back to"),
        (sealed("items", to=json.loads(document(rollback_plan(PLAN, {})))["items"] * 2), "repeated"),
        (document(rollback_plan(PLAN, {})).replace(b'"unknown"', b'"cluster"'), "changed"),
    ],
)
def test_anything_else_is_refused_in_one_line(data: bytes, why: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_rollback_plan(data)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
