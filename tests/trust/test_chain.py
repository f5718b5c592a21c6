"""Root, issuers, licence: each link only by the one before it."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trust.signing import NOW, b64, dumped, licence, public_bytes, signed

from modekeeper.trust.chain import TrustChain, TrustOrderError
from modekeeper.trust.check import LicenseFacts
from modekeeper.trust.faults import IssuerKeysetError, KeyringError
from modekeeper.trust.license import read_license
from modekeeper.trust.state import TrustState

ROOT = dumped({"root-1": b64(public_bytes("root-1")), "root-2": b64(public_bytes("root-2"))})


def keyset(*, key: str = "root-1", **changes: Any) -> bytes:
    made = {
        "schema_version": "issuer_keyset.v1",
        "kid": "root-1",
        "version": 3,
        "issued_at": "2026-05-01T00:00:00Z",
        "expires_at": "2026-08-01T00:00:00Z",
        "keys": {"vendor-2026": b64(public_bytes("vendor-2026"))},
    } | changes
    return dumped(signed({name: value for name, value in made.items() if value is not None}, key))


def chain(state: TrustState | None = None, root: bytes = ROOT) -> TrustChain:
    made = TrustChain(now=NOW, state=state or TrustState())
    made.load_root(root)
    return made


def test_a_root_key_signs_the_issuers_and_an_issuer_signs_the_licence() -> None:
    links = chain()
    assert links.load_issuers(keyset()).version == 3
    assert links.check_license(licence(), facts=LicenseFacts(), wanted=("apply",)).license_ok
    assert links.state.keyset_version == 3


def test_nothing_is_loaded_before_what_it_hangs_on() -> None:
    links = TrustChain(now=NOW, state=TrustState())
    with pytest.raises(TrustOrderError):
        links.load_issuers(keyset())
    with pytest.raises(TrustOrderError):
        links.check_license(licence(), facts=LicenseFacts())
    links.load_root(ROOT)
    with pytest.raises(TrustOrderError):
        links.check_license(licence(), facts=LicenseFacts())
    with pytest.raises(TrustOrderError):
        links.load_root(ROOT)
    with pytest.raises(IssuerKeysetError):
        links.load_issuers(keyset(key="evil"))
    with pytest.raises(TrustOrderError, match="before an issuer"):
        links.check_license(licence(), facts=LicenseFacts())


def test_a_root_that_is_none_stays_out() -> None:
    links = TrustChain(now=NOW, state=TrustState())
    with pytest.raises(KeyringError):
        links.load_root(b"{")
    with pytest.raises(TrustOrderError):
        links.load_issuers(keyset())


SEEN = TrustState(keyset_version=4, keyset_digest="sha256:" + "0" * 64)
ATTACKS: dict[str, tuple[bytes, str, TrustState]] = {
    "signed by nobody known": (keyset(key="evil"), "keyset_signature_mismatch", TrustState()),
    "signed by an issuer": (keyset(key="vendor-2026", kid="vendor-2026"), "keyset_kid_unknown", TrustState()),
    "signed by another root": (keyset(key="root-2"), "keyset_signature_mismatch", TrustState()),
    "a licence in its place": (licence(), "keyset_schema_unsupported", TrustState()),
    "an older one": (keyset(version=3), "keyset_rolled_back", SEEN),
    "an older one by the other root": (keyset(version=3, kid="root-2", key="root-2"), "keyset_rolled_back", SEEN),
    "another one of the same version": (keyset(version=4), "keyset_version_reused", SEEN),
    "expired": (keyset(expires_at="2026-06-01T12:00:00Z"), "keyset_expired", TrustState()),
    "expired by a time that was seen": (
        keyset(expires_at="2026-06-01T12:05:00Z"),
        "keyset_expired",
        TrustState(newest_verified_at=NOW + timedelta(minutes=6)),
    ),
    "a clock set back": (keyset(), "keyset_clock_set_back", TrustState(newest_verified_at=NOW + timedelta(days=1))),
    "from the future": (keyset(issued_at="2026-07-01T00:00:00Z"), "keyset_issued_in_the_future", TrustState()),
    "a root key among the issuers": (
        keyset(keys={"vendor-2026": b64(public_bytes("root-2"))}),
        "keyset_root_as_issuer",
        TrustState(),
    ),
    "a version as a float": (
        keyset(version=3.0).replace(b'"version": 3.0', b'"version": 3e0'),
        "keyset_field_invalid",
        SEEN,
    ),
    "a version of nothing": (keyset(version=0), "keyset_field_invalid", TrustState()),
    "a version of minus nothing": (
        keyset(version=0).replace(b'"version": 0', b'"version": -0'),
        "keyset_field_invalid",
        TrustState(),
    ),
    "a version of true": (keyset(version=True), "keyset_field_invalid", TrustState()),
    "a version beyond exact numbers": (
        keyset().replace(b'"version": 3', b'"version": 9007199254740993'),
        "keyset_field_invalid",
        TrustState(),
    ),
    "without a version": (keyset(version=None), "keyset_field_missing", TrustState()),
    "without an expiry": (keyset(expires_at=None), "keyset_field_missing", TrustState()),
    "a field nobody knows": (keyset(threshold=0), "keyset_field_unknown", TrustState()),
    "a key of small order": (keyset(keys={"a": b64(b"\x01" + bytes(31))}), "keyset_key_malformed", TrustState()),
    "keys twice": (
        keyset().replace(b'"keys": {', b'"keys": {}, "keys": {'),
        "keyset_duplicate_key",
        TrustState(),
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_on_the_keyset(name: str) -> None:
    data, code, state = ATTACKS[name]
    links = chain(state)
    with pytest.raises(IssuerKeysetError) as caught:
        links.load_issuers(data)
    assert caught.value.code == code
    assert caught.value.detail.isprintable()
    assert links.state == state, "nothing is learned from what is refused"
    with pytest.raises(TrustOrderError):
        links.check_license(licence(), facts=LicenseFacts())


def test_the_same_keyset_again_is_no_rollback() -> None:
    first = chain()
    first.load_issuers(keyset())
    again = chain(first.state)
    again.load_issuers(keyset())
    assert again.state == first.state


def test_issuers_are_rotated_by_a_newer_keyset_alone() -> None:
    both = {kid: b64(public_bytes(kid)) for kid in ("vendor-2026", "vendor-2027")}
    new = licence(kid="vendor-2027", key="vendor-2027")
    links = chain()
    links.load_issuers(keyset())
    assert links.check_license(new, facts=LicenseFacts()).failure_code == "kid_unknown"
    links.load_issuers(keyset(version=4, keys=both))
    assert links.check_license(new, facts=LicenseFacts()).license_ok
    assert links.check_license(licence(), facts=LicenseFacts()).license_ok
    links.load_issuers(keyset(version=5, keys=both, revoked_kids=["vendor-2026"]))
    assert links.check_license(licence(), facts=LicenseFacts()).failure_code == "kid_revoked"
    with pytest.raises(IssuerKeysetError):
        links.load_issuers(keyset(version=4, keys=both))
    assert links.check_license(licence(), facts=LicenseFacts()).failure_code == "kid_revoked"


def test_the_root_is_rotated_by_its_file_and_the_versions_go_on() -> None:
    before = chain()
    before.load_issuers(keyset())
    after = chain(before.state, dumped({"root-2": b64(public_bytes("root-2"))}))
    with pytest.raises(IssuerKeysetError, match="does not have the key"):
        after.load_issuers(keyset(version=4))
    after.load_issuers(keyset(version=4, kid="root-2", key="root-2"))
    assert after.check_license(licence(), facts=LicenseFacts()).license_ok


def test_a_root_key_that_is_revoked_signs_nothing() -> None:
    root = {"schema_version": "keyring.v1", "keys": {"root-1": b64(public_bytes("root-1"))}, "revoked_kids": ["root-1"]}
    with pytest.raises(IssuerKeysetError) as caught:
        chain(root=dumped(root)).load_issuers(keyset())
    assert caught.value.code == "keyset_kid_revoked"


@pytest.mark.parametrize("where", ["root", "keyset"])
@pytest.mark.parametrize("what", ["revoked_kids", "revoked_licenses"])
def test_what_the_root_or_the_keyset_revokes_is_revoked(where: str, what: str) -> None:
    denied: dict[str, Any] = {what: ["vendor-2026"] if what == "revoked_kids" else [read_license(licence()).digest]}
    root = {"schema_version": "keyring.v1", "keys": {"root-1": b64(public_bytes("root-1"))}}
    links = chain(root=dumped(root | (denied if where == "root" else {})))
    links.load_issuers(keyset(**(denied if where == "keyset" else {})))
    code = "kid_revoked" if what == "revoked_kids" else "license_revoked"
    assert links.check_license(licence(), facts=LicenseFacts()).failure_code == code


def test_a_root_key_signs_no_licence() -> None:
    links = chain()
    links.load_issuers(keyset())
    assert links.check_license(licence(kid="root-1", key="root-1"), facts=LicenseFacts()).failure_code == "kid_unknown"


GOOD = keyset()


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_byte_of_a_keyset_may_change(position: int, change: int) -> None:
    data = bytearray(GOOD)
    data[position] ^= change
    links = chain()
    try:
        links.load_issuers(bytes(data))
    except IssuerKeysetError:
        return
    # White space for white space is all that may differ.
    assert bytes(data).split() == GOOD.split()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_keyset_error(data: bytes) -> None:
    with pytest.raises(IssuerKeysetError):
        chain().load_issuers(data)
