"""Whatever is done to a licence: it is refused, or it says what was signed; and nothing but a verdict comes out."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.trust.signing import FACTS, KEYRING, NOW, dumped, fields, licence, signed

from modekeeper.trust.check import LicenseFacts, check_license
from modekeeper.trust.faults import KeyringError
from modekeeper.trust.keyring import Keyring, read_keyring
from modekeeper.trust.license import read_license

GOOD = licence(bindings={"cluster": "3c1f-uid", "org": "Acme GmbH"})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([*json.loads(GOOD), "alg", "public_key", "Org", "org "])


def accepted(data: bytes) -> bool:
    return check_license(data, keyring=KEYRING, facts=FACTS, now=NOW, wanted=("apply",)).license_ok


def same_meaning(data: bytes) -> bool:
    return bool(json.loads(data) == json.loads(GOOD))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The good licence after a few edits of its bytes: removed, put in, replaced, doubled, exchanged."""
    data = bytearray(GOOD)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 30)))
        what = draw(st.sampled_from(["remove", "insert", "replace", "double"]))
        new = draw(st.binary(max_size=8) | st.text(max_size=8).map(str.encode))
        piece = bytes(data[start:stop])
        data[start:stop] = {"remove": b"", "insert": piece + new, "replace": new, "double": piece * 2}[what]
    return bytes(data)


@given(mutated())
def test_an_edited_licence_is_refused_or_says_the_same(data: bytes) -> None:
    if accepted(data):
        assert same_meaning(data)


@given(NAMES, JSON)
def test_no_field_takes_another_value(name: str, value: Any) -> None:
    document = json.loads(GOOD) | {name: value}
    assert accepted(json.dumps(document).encode()) is (document == json.loads(GOOD))


@given(NAMES, JSON)
def test_what_is_signed_and_is_no_licence_is_refused_without_an_exception(name: str, value: Any) -> None:
    """The vendor's tool may have a bug of its own."""
    try:
        data = dumped(signed(fields() | {name: value}))
    except ValueError:  # no JSON, or no canonical form
        return
    verdict = check_license(data, keyring=KEYRING, facts=LicenseFacts(), now=NOW, wanted=())
    if verdict.license_ok:
        assert set(json.loads(data)) <= {*fields(), "bindings", "signature"}


@given(st.binary(max_size=300) | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_give_a_verdict(data: bytes) -> None:
    verdict = check_license(data, keyring=KEYRING, facts=FACTS, now=NOW, wanted=())
    assert not verdict.license_ok
    assert verdict.failure_detail is not None
    assert verdict.failure_detail.isprintable()


@given(st.binary(max_size=300) | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_are_a_keyring_or_a_keyring_error(data: bytes) -> None:
    read: Keyring | KeyringError
    try:
        read = read_keyring(data)
    except KeyringError as error:
        read = error
    if isinstance(read, KeyringError):
        assert read.code.startswith("keyring_")
        assert read.detail.isprintable()
    else:
        assert all(len(key) == 32 for key in read.keys.values())


@given(st.datetimes(timezones=st.just(UTC)), st.none() | st.datetimes(timezones=st.just(UTC)))
def test_at_any_time_it_is_good_only_between_its_dates(now: datetime, newest_seen: datetime | None) -> None:
    facts = LicenseFacts(cluster_uid="3c1f-uid", org="Acme GmbH", newest_seen=newest_seen)
    verdict = check_license(GOOD, keyring=KEYRING, facts=facts, now=now, wanted=())
    document = read_license(GOOD)
    if verdict.license_ok:
        assert now < document.expires_at
        assert newest_seen is None or newest_seen < document.expires_at
    if now >= document.expires_at or (newest_seen is not None and newest_seen >= document.expires_at):
        assert not verdict.license_ok


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4), st.permutations(sorted(json.loads(GOOD))))
def test_order_and_white_space_carry_no_meaning(spaces: dict[str, str], order: list[str]) -> None:
    document = json.loads(GOOD)
    data = json.dumps({name: document[name] for name in order}, indent=len(spaces)).encode()
    assert accepted(data)
    assert read_license(data).digest == read_license(GOOD).digest
