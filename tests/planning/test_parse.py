"""A plan from outside is hostile until every byte of it is accounted for."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.planning.changes import BUCKET, PREFETCH, WORKERS, change

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.model.decision import PassportRef
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.plan import build_plan

PLAN = build_plan([change(WORKERS, PREFETCH, BUCKET)])
COLD, HOT = 0, 1


def forged(edit: Callable[[Any], None]) -> bytes:
    """The plan after ``edit``, under a digest that fits."""
    plain = json.loads(document(PLAN))
    edit(plain)
    plain.pop("digest", None)
    return json.dumps({**plain, "digest": canonical_digest(plain)}).encode()


def set_at(*path: Any, to: Any) -> Callable[[Any], None]:
    def edit(plain: Any) -> None:
        for step in path[:-1]:
            plain = plain[step]
        plain[path[-1]] = to

    return edit


def put_twice(plain: Any) -> None:
    plain["items"].append(plain["items"][0])


def put_twice_in_a_row(plain: Any) -> None:
    plain["items"].insert(0, plain["items"][0])


def turn_round(plain: Any) -> None:
    plain["items"].reverse()


def only_knob(name: str) -> Callable[[Any], None]:
    def edit(plain: Any) -> None:
        for place in (plain["items"][HOT]["patch"], plain["items"][HOT]["pod_patch"]):
            place["metadata"]["annotations"] = {f"modekeeper/knob.{name}": "1"}
        plain["items"][HOT]["knobs"] = {name: "1"}

    return edit


def set_workers(text: str) -> Callable[[Any], None]:
    def edit(plain: Any) -> None:
        plain["items"][HOT]["knobs"]["concurrency"] = text
        for place in ("patch", "pod_patch"):
            plain["items"][HOT][place]["metadata"]["annotations"]["modekeeper/knob.concurrency"] = text

    return edit


def test_the_plan_itself_is_read() -> None:
    assert parse_plan(document(PLAN)) == PLAN
    assert parse_plan(forged(lambda _: None)) == PLAN


DIGEST = "sha256:" + "a" * 64
ATTACKS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "cannot be read"),
    "a list": (b"[]", "wrong shape"),
    "not utf-8": (b"\xff", "not UTF-8"),
    "too large": (b" " * (1024 * 1024 + 1), "at most"),
    "too deep": (b"[" * 200_000, "deep"),
    "two documents": (document(PLAN) * 2, "cannot be read"),
    "nan": (document(PLAN).replace(b'"6"', b"NaN"), "no number"),
    "a key given twice": (document(PLAN).replace(b'"digest":', b'"digest": "x", "digest":'), "given twice"),
    "half a surrogate pair": (document(PLAN).replace(b'"6"', b'"\\ud800"'), "surrogate"),
    "no items": (b'{"schema_version":"k8s_plan.v0","digest":""}', "wrong shape"),
    "a field more": (forged(set_at("force", to=True)), "wrong shape"),
    "a field more in an item": (forged(set_at("items", HOT, "verify", to=False)), "wrong shape"),
    "another schema": (forged(set_at("schema_version", to="k8s_plan.v9")), "has the schema"),
    "a number as a value": (forged(set_at("items", HOT, "knobs", "concurrency", to=6)), "wrong shape"),
    "an actuation nobody knows": (forged(set_at("items", HOT, "actuation", to="warm")), "wrong shape"),
    "the digest of another plan": (
        document(PLAN).replace(PLAN.digest.encode(), b"sha256:" + b"0" * 64),
        "it was changed",
    ),
    "a value changed afterwards": (document(PLAN).replace(b'"6"', b'"7"'), "it was changed"),
    "replicas in the patch": (forged(set_at("items", COLD, "patch", "spec", "replicas", to=0)), "more or less"),
    "a kind whose template no patch reaches": (
        forged(set_at("items", COLD, "kind", to="JobSet")),
        "item 0 of the plan cannot be made: no patch",
    ),
    "the template of another kind": (forged(set_at("items", COLD, "kind", to="LeaderWorkerSet")), "more or less"),
    "a container in the patch": (
        forged(set_at("items", COLD, "patch", "spec", "template", "spec", to={"containers": []})),
        "more or less",
    ),
    "a label in the patch": (
        forged(set_at("items", HOT, "patch", "metadata", "labels", to={"a": "b"})),
        "more or less",
    ),
    "an annotation of somebody else": (
        forged(set_at("items", HOT, "patch", "metadata", "annotations", "owner", to="me")),
        "more or less",
    ),
    "another value in the pods": (
        forged(set_at("items", HOT, "pod_patch", "metadata", "annotations", "modekeeper/knob.concurrency", to="64")),
        "more or less",
    ),
    "a hot item without pods": (forged(set_at("items", HOT, "pod_patch", to=None)), "more or less"),
    "cold called hot": (forged(set_at("items", COLD, "actuation", to="hot")), "more or less"),
    "no knobs": (forged(set_at("items", HOT, "knobs", to={})), "sets no knob"),
    "a knob nobody knows": (forged(only_knob("evil")), "no value of a knob"),
    "an alias of a knob": (forged(only_knob("dataloader_num_workers")), "no value of a knob"),
    "a value out of bounds": (forged(set_workers("100000")), "no value of a knob"),
    "a value with a plus": (forged(set_workers("+6")), "no value of a knob"),
    "a value with a zero in front": (forged(set_workers("06")), "no value of a knob"),
    "a value with an exponent": (forged(set_workers("6e0")), "no value of a knob"),
    "a value with a line break": (forged(set_workers("6\n")), "no value of a knob"),
    "a value in other digits": (forged(set_workers("\u0666")), "no value of a knob"),
    "a value that is a command": (forged(set_workers("$(id)")), "no value of a knob"),
    "an item twice": (forged(put_twice), "repeated or out of order"),
    "an item twice in a row": (forged(put_twice_in_a_row), "repeated or out of order"),
    "items out of order": (forged(turn_round), "repeated or out of order"),
    "a hostile namespace": (forged(set_at("items", HOT, "namespace", to="a;id\n")), "no namespace"),
    "a hostile kind": (forged(set_at("items", HOT, "kind", to="--all")), "no kind"),
    "a hostile name": (forged(set_at("items", HOT, "name", to="$(id)")), "no object name"),
    "a passport that is null": (forged(set_at("passport", to=None)), "wrong shape"),
    "a passport by name alone": (forged(set_at("passport", to={"name": "safe"})), "wrong shape"),
    "a field more in the passport": (
        forged(set_at("passport", to={"name": "safe", "digest": DIGEST, "force": True})),
        "wrong shape",
    ),
    "a hostile name of a passport": (
        forged(set_at("passport", to={"name": "safe\x1b[2J", "digest": DIGEST})),
        "names no passport",
    ),
    "a passport with the digest of nothing": (
        forged(set_at("passport", to={"name": "safe", "digest": "sha256:"})),
        "names no passport",
    ),
    "a passport with a digest in capitals": (
        forged(set_at("passport", to={"name": "safe", "digest": DIGEST.upper()})),
        "names no passport",
    ),
    "a passport put in afterwards": (
        document(PLAN).replace(
            b'"schema_version"', b'"passport": {"digest": "%s", "name": "safe"}, "schema_version"' % DIGEST.encode()
        ),
        "it was changed",
    ),
    "a hostile chord": (forged(set_at("items", HOT, "chord_id", to="X\x1b[2J")), "names no chord"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_not_a_plan_of_ours_is_refused_in_one_line(name: str) -> None:
    data, said = ATTACKS[name]
    with pytest.raises(BadInputError, match=said) as caught:
        parse_plan(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_plan_names_its_passport_or_none_and_the_digest_covers_it() -> None:
    ref = PassportRef(name="team", digest=DIGEST)
    named = build_plan([change(WORKERS, PREFETCH, BUCKET)], ref)
    assert parse_plan(document(named)) == named
    assert named.digest != PLAN.digest
    assert (named.items, named.passport) == (PLAN.items, ref)
    assert b"passport" not in document(PLAN)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(BadInputError):
        parse_plan(data)


@given(st.data())
def test_no_single_changed_byte_goes_unseen(data: st.DataObject) -> None:
    good = document(PLAN)
    place = data.draw(st.integers(min_value=0, max_value=len(good) - 1))
    byte = data.draw(st.integers(min_value=0, max_value=255))
    changed = good[:place] + bytes([byte]) + good[place + 1 :]
    refused = ""
    try:
        read = parse_plan(changed)
    except BadInputError as error:
        refused = str(error)
    assert refused.isprintable()
    assert refused or read == PLAN, "only white space may differ"
