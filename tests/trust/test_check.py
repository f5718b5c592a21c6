"""What a good licence opens, and the reason each other one is given."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.trust.signing import FACTS, KEYRING, NOW, b64, dumped, licence, public_bytes

from modekeeper.model.decision import BlockReason
from modekeeper.trust.check import LicenseFacts, LicenseVerdict, check_license
from modekeeper.trust.faults import KeyringError, LicenseFileError
from modekeeper.trust.keyring import EMPTY_KEYRING, Keyring, read_keyring
from modekeeper.trust.license import read_license


def judged(
    data: bytes | LicenseFileError | None,
    *,
    keyring: Keyring | KeyringError = KEYRING,
    facts: LicenseFacts = FACTS,
    now: datetime = NOW,
    wanted: tuple[str, ...] = ("apply",),
) -> LicenseVerdict:
    return check_license(data, keyring=keyring, facts=facts, now=now, wanted=wanted)


def test_a_good_licence() -> None:
    verdict = judged(licence())
    assert verdict.license_ok
    assert verdict.reason == "license_ok"
    assert verdict.reason_code is verdict.failure_code is verdict.failure_detail is None
    assert (verdict.kid, verdict.issuer, verdict.org) == ("vendor-2026", "ModeKeeper", "Acme GmbH")
    assert verdict.expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert verdict.entitlements == ("apply", "advanced")
    assert verdict.entitlements_summary == "apply, advanced"
    assert verdict.license_digest == read_license(licence()).digest


@pytest.mark.parametrize(
    "bindings",
    [
        {"cluster": "3c1f-uid"},
        {"host": "node-1"},
        {"org": "Acme GmbH"},
        {"cluster": "3c1f-uid", "host": "node-1", "org": "Acme GmbH"},
    ],
)
def test_bindings_that_are_met(bindings: dict[str, str]) -> None:
    assert judged(licence(bindings=bindings)).license_ok


@pytest.mark.parametrize("name", ["cluster", "host", "org"])
def test_a_binding_is_never_met_by_a_fact_that_is_not_known(name: str) -> None:
    verdict = judged(licence(bindings={name: "x"}), facts=LicenseFacts())
    assert (verdict.reason_code, verdict.failure_code) == (BlockReason.BINDING_MISMATCH, f"{name}_unknown")


@pytest.mark.parametrize("name", ["cluster", "host", "org"])
def test_one_binding_that_is_not_met_is_enough(name: str) -> None:
    met = {"cluster": "3c1f-uid", "host": "node-1", "org": "Acme GmbH"}
    verdict = judged(licence(bindings=met | {name: "another"}))
    assert (verdict.reason_code, verdict.failure_code) == (BlockReason.BINDING_MISMATCH, f"{name}_mismatch")


def test_no_licence() -> None:
    verdict = judged(None)
    assert (verdict.license_ok, verdict.reason_code) == (False, BlockReason.LICENSE_MISSING)


def test_a_licence_that_cannot_be_read() -> None:
    verdict = judged(LicenseFileError("license_file_unreadable", "no such file"))
    assert (verdict.reason_code, verdict.failure_code) == (BlockReason.LICENSE_INVALID, "license_file_unreadable")


def test_a_keyring_that_cannot_be_used_opens_nothing() -> None:
    verdict = judged(licence(), keyring=KeyringError("keyring_file_unreadable", "no such file"))
    assert (verdict.reason_code, verdict.failure_code) == (BlockReason.LICENSE_INVALID, "keyring_file_unreadable")


def test_the_keyring_of_the_package_opens_nothing() -> None:
    assert judged(licence(), keyring=EMPTY_KEYRING).failure_code == "kid_unknown"


@pytest.mark.parametrize("wanted", [("fleet",), ("apply", "fleet"), ("Apply",), ("appl",), ("",)])
def test_an_entitlement_is_granted_word_for_word(wanted: tuple[str, ...]) -> None:
    verdict = judged(licence(), wanted=wanted)
    assert (verdict.license_ok, verdict.reason_code) == (False, BlockReason.ENTITLEMENT_MISSING)
    assert verdict.entitlements == ("apply", "advanced"), "signed facts are told whatever the verdict is"


EXPIRY = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("now", "ok"), [(EXPIRY - timedelta(seconds=1), True), (EXPIRY, False)])
def test_it_is_good_up_to_the_moment_it_expires(now: datetime, ok: bool) -> None:
    verdict = judged(licence(), now=now)
    assert verdict.license_ok is ok
    assert verdict.reason_code is (None if ok else BlockReason.LICENSE_EXPIRED)


def test_a_clock_set_back_does_not_bring_a_licence_back() -> None:
    facts = LicenseFacts(newest_seen=EXPIRY + timedelta(days=1))
    assert judged(licence(), facts=facts, now=NOW).failure_code == "clock_set_back"


def test_within_the_tolerance_the_later_time_counts() -> None:
    facts = LicenseFacts(newest_seen=EXPIRY + timedelta(seconds=1))
    verdict = judged(licence(), facts=facts, now=EXPIRY - timedelta(seconds=60))
    assert verdict.reason_code is BlockReason.LICENSE_EXPIRED


def test_a_licence_from_the_future_is_not_good_yet() -> None:
    verdict = judged(licence(issued_at="2026-06-01T12:10:01Z"))
    assert (verdict.reason_code, verdict.failure_code) == (BlockReason.LICENSE_INVALID, "issued_in_the_future")
    assert judged(licence(issued_at="2026-06-01T12:10:00Z")).license_ok, "clocks may lie ten minutes apart"


@pytest.mark.parametrize("now", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_ends_of_time(now: datetime) -> None:
    assert not judged(licence(), now=now).license_ok


def test_rotation_is_an_edit_of_the_keyring() -> None:
    old, new = licence(), licence(kid="vendor-2027", key="vendor-2027")
    both = read_keyring(dumped({kid: b64(public_bytes(kid)) for kid in ("vendor-2026", "vendor-2027")}))
    after = read_keyring(dumped({"vendor-2027": b64(public_bytes("vendor-2027"))}))
    assert judged(old, keyring=both).license_ok
    assert judged(new, keyring=both).license_ok
    assert judged(new, keyring=after).license_ok
    assert judged(old, keyring=after).failure_code == "kid_unknown"


def keyring_with(**denied: list[str]) -> Keyring:
    keys = {"vendor-2026": b64(public_bytes("vendor-2026"))}
    return read_keyring(dumped({"schema_version": "keyring.v1", "keys": keys, **denied}))


def test_a_deny_list_wins_over_the_allow_list() -> None:
    digest = read_license(licence()).digest
    assert judged(licence(), keyring=keyring_with()).license_ok
    assert judged(licence(), keyring=keyring_with(revoked_kids=["vendor-2026"])).failure_code == "kid_revoked"
    assert judged(licence(), keyring=keyring_with(revoked_licenses=[digest])).failure_code == "license_revoked"
    assert judged(licence(org="Another"), keyring=keyring_with(revoked_licenses=[digest])).license_ok


def test_the_order_of_the_steps() -> None:
    bad_everything = licence(expires_at="2026-02-01T00:00:00Z", bindings={"host": "x"}, entitlements=[])
    assert judged(bad_everything, keyring=EMPTY_KEYRING).reason_code is BlockReason.LICENSE_INVALID
    assert judged(bad_everything).reason_code is BlockReason.LICENSE_EXPIRED
    unbound = licence(expires_at="2027-02-01T00:00:00Z", bindings={"host": "x"}, entitlements=[])
    assert judged(unbound).reason_code is BlockReason.BINDING_MISMATCH


BAD_KEYRINGS = {
    "no object": (b"[]", "keyring_wrong_type"),
    "twice the same name": (b'{"a":"%s","a":"%s"}' % ((b64(public_bytes("a")).encode(),) * 2), "keyring_duplicate_key"),
    "one key under two names": (
        dumped({"a": b64(public_bytes("a")), "b": b64(public_bytes("a"))}),
        "keyring_key_twice",
    ),
    "a key that is too short": (dumped({"a": b64(b"x" * 31)}), "keyring_key_malformed"),
    "a key in hex": (dumped({"a": public_bytes("a").hex()}), "keyring_key_malformed"),
    "a key in base64 for addresses": (dumped({"a": b64(b"\xff" * 32).replace("/", "_")}), "keyring_key_malformed"),
    "base64 with bits left over": (
        dumped({"a": b64(public_bytes("a"))[:-2] + chr(ord(b64(public_bytes("a"))[-2]) + 1) + "="}),
        "keyring_key_malformed",
    ),
    "a key that is a number": (b'{"a":1e0}', "keyring_key_malformed"),
    "a point of small order": (dumped({"a": b64(b"\x01" + bytes(31))}), "keyring_key_malformed"),
    "a name nobody could tell from another": (
        dumped({"vendor\u20102026": b64(public_bytes("a"))}),
        "keyring_kid_malformed",
    ),
    "another schema": (dumped({"schema_version": "keyring.v2", "keys": {}}), "keyring_schema_unsupported"),
    "a field nobody knows": (
        dumped({"schema_version": "keyring.v1", "keys": {}, "allow_all": True}),
        "keyring_field_unknown",
    ),
    "a deny-list of anything": (
        dumped({"schema_version": "keyring.v1", "keys": {}, "revoked_licenses": ["*"]}),
        "keyring_field_invalid",
    ),
    "larger than a keyring is": (b" " * 1024 * 1024 + b"{}", "keyring_too_large"),
}


@pytest.mark.parametrize("name", BAD_KEYRINGS)
def test_a_keyring_is_read_exactly_or_not_at_all(name: str) -> None:
    data, code = BAD_KEYRINGS[name]
    with pytest.raises(KeyringError) as caught:
        read_keyring(data)
    assert caught.value.code == code
