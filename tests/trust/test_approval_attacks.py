"""Every known way to make an approval say what nobody signed, as a row of one table, each by a real file as well."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trust import test_attacks, test_finding
from tests.trust.altering import with_field_in, with_signature_in, with_text_in
from tests.trust.approving import APPROVERS, APPROVERS_FILE, CLUSTER, PLAN, approval, fields
from tests.trust.signing import KEYRING, NOW, b64, dumped, licence, public_bytes, signed

from modekeeper.trust.check import LicenseFacts, check_license
from modekeeper.trust.check_approval import ApprovalVerdict, check_approval
from modekeeper.trust.faults import ApprovalFileError
from modekeeper.trust.finding import find_approvers, read_approval_file
from modekeeper.trust.keyring import Keyring

GOOD = approval()
OTHER_PLAN = f"sha256:{'cd' * 32}"


class Attack(NamedTuple):
    data: Callable[[], bytes]
    code: str


text = partial(with_text_in, GOOD)
with_field = partial(with_field_in, GOOD)
with_signature = partial(with_signature_in, GOOD)


def without(name: str) -> Callable[[], bytes]:
    return lambda: dumped({key: value for key, value in json.loads(GOOD).items() if key != name})


ATTACKS: dict[str, Attack] = {
    "another plan's digest written in": Attack(text(PLAN, OTHER_PLAN), "signature_mismatch"),
    "of another plan": Attack(lambda: approval(plan_digest=OTHER_PLAN), "plan_mismatch"),
    "a digest in capitals": Attack(lambda: approval(plan_digest=PLAN.upper()), "field_invalid"),
    "a digest with a blank": Attack(lambda: approval(plan_digest=f"{PLAN} "), "field_invalid"),
    "a digest with a line end": Attack(lambda: approval(plan_digest=f"{PLAN}\n"), "field_invalid"),
    "a digest with a look-alike": Attack(lambda: approval(plan_digest=PLAN.replace("a", "\u0430", 1)), "field_invalid"),
    "a list of digests": Attack(lambda: approval(plan_digest=[PLAN]), "wrong_type"),
    "a star for a digest": Attack(lambda: approval(plan_digest="*"), "field_invalid"),
    "for another cluster": Attack(lambda: approval(cluster_uid="another"), "cluster_mismatch"),
    "the cluster taken out": Attack(without("cluster_uid"), "signature_mismatch"),
    "the cluster of null": Attack(with_field(cluster_uid=None), "wrong_type"),
    "a later expiry": Attack(text("2026-06-02T", "2026-06-03T"), "signature_mismatch"),
    "good for more than a week": Attack(lambda: approval(expires_at="2026-06-08T11:00:01Z"), "field_invalid"),
    "expired": Attack(
        lambda: approval(approved_at="2026-05-31T12:00:00Z", expires_at="2026-06-01T12:00:00Z"), "approval_expired"
    ),
    "expired before it was approved": Attack(lambda: approval(expires_at="2026-06-01T10:00:00Z"), "field_invalid"),
    "not yet valid": Attack(lambda: approval(approved_at="2026-06-01T12:10:01Z"), "approved_in_the_future"),
    "another approver": Attack(text("Ada Lovelace", "Bob Frankston"), "signature_mismatch"),
    "a look-alike in the name": Attack(text("Ada", "\u0410da"), "signature_mismatch"),
    "a name that runs backwards": Attack(lambda: approval(approver="\u202eadA"), "field_invalid"),
    "a name with something invisible": Attack(lambda: approval(approver="Ada\u200b"), "field_invalid"),
    "no name": Attack(lambda: approval(approver=""), "field_invalid"),
    "another reason": Attack(text("compared", "never compared"), "signature_mismatch"),
    "a reason of two lines": Attack(lambda: approval(reason="yes\nno"), "field_invalid"),
    "a duplicate key, the good one last": Attack(text('{"schema', '{"plan_digest": "x", "schema'), "duplicate_key"),
    "a duplicate key, the good one first": Attack(
        text(', "signature"', ', "plan_digest": "x", "signature"'), "duplicate_key"
    ),
    "a duplicate key, escaped": Attack(text('{"schema', '{"\\u0070lan_digest": "x", "schema'), "duplicate_key"),
    "a field nobody knows": Attack(with_field(approved_plans=2), "field_unknown"),
    "a field nobody knows, signed": Attack(lambda: approval(note="hello"), "field_unknown"),
    "an algorithm": Attack(with_field(alg="none"), "field_unknown"),
    "an algorithm, signed": Attack(lambda: approval(algorithm="ed25519"), "field_unknown"),
    "a key of its own": Attack(with_field(public_key=b64(public_bytes("evil"))), "field_unknown"),
    "a field missing": Attack(lambda: approval(approver=None), "field_missing"),
    "no signature": Attack(lambda: dumped(fields()), "field_missing"),
    "an empty signature": Attack(with_field(signature=""), "signature_malformed"),
    "a signature of null": Attack(with_field(signature=None), "wrong_type"),
    "a list of signatures": Attack(with_field(signature=[b64(bytes(64))]), "wrong_type"),
    "a signature of zeros": Attack(with_signature(lambda s: bytes(len(s))), "signature_malformed"),
    "half a signature": Attack(with_signature(lambda s: s[:32]), "signature_malformed"),
    "a signature without padding": Attack(text('=="', '"'), "signature_malformed"),
    "a signature that is not reduced": Attack(with_signature(test_attacks.half_plus_order), "signature_malformed"),
    "a signature with a point of small order": Attack(
        with_signature(lambda s: test_attacks.SMALL_ORDER + s[32:]), "signature_malformed"
    ),
    "a kid nobody knows": Attack(lambda: approval(kid="evil", key="evil"), "kid_unknown"),
    "the kid of another key": Attack(lambda: approval(kid="bob", key="ada"), "signature_mismatch"),
    "the kid changed to another known one": Attack(text('"ada"', '"bob"'), "signature_mismatch"),
    "a key of nobody under a known kid": Attack(lambda: approval(key="evil"), "signature_mismatch"),
    "a kid that is a path": Attack(lambda: approval(kid="../../keys"), "field_invalid"),
    "a kid with a look-alike": Attack(lambda: approval(kid="\u0430da"), "field_invalid"),
    "signed by a key for licences": Attack(lambda: approval(kid="vendor-2026", key="vendor-2026"), "kid_unknown"),
    "a licence in its place": Attack(licence, "schema_unsupported"),
    "a licence in its place, signed by an approver": Attack(
        lambda: licence(kid="ada", key="ada"), "schema_unsupported"
    ),
    "a licence with a plan's digest": Attack(
        lambda: licence(kid="ada", key="ada", schema_version="approval.v1", plan_digest=PLAN), "field_missing"
    ),
    "the schema of a licence's signature changed": Attack(
        lambda: dumped(signed(fields(schema_version="license.v1"), "ada") | {"schema_version": "approval.v1"}),
        "signature_mismatch",
    ),
    "another schema": Attack(lambda: approval(schema_version="approval.v2"), "schema_unsupported"),
    "a version as a float": Attack(with_field(schema_version=1e0), "schema_unsupported"),
    "a time as a float": Attack(text('"2026-06-02T11:00:00Z"', "1e0"), "wrong_type"),
    "a time as minus nothing": Attack(text('"2026-06-02T11:00:00Z"', "-0"), "wrong_type"),
    "a time that is infinite": Attack(text('"2026-06-02T11:00:00Z"', "1e999"), "not_a_number"),
    "a time of thousands of digits": Attack(text('"2026-06-02T11:00:00Z"', "1" * 5000), "not_a_number"),
    "a time in another zone": Attack(lambda: approval(expires_at="2026-06-02T11:00:00+14:00"), "field_invalid"),
    "a time with a fraction": Attack(lambda: approval(expires_at="2026-06-02T11:00:00.5Z"), "field_invalid"),
    "a time that is none": Attack(lambda: approval(expires_at="2026-06-31T11:00:00Z"), "field_invalid"),
    "half of a surrogate pair": Attack(text("Ada", "\\ud800da"), "bad_text"),
    "nothing": Attack(lambda: b"", "invalid_json"),
    "no object": Attack(lambda: b"[]", "wrong_type"),
    "true": Attack(lambda: b"true", "wrong_type"),
    "two documents": Attack(lambda: GOOD + GOOD, "invalid_json"),
    "something behind it": Attack(lambda: GOOD + b"\0", "invalid_json"),
    "truncated": Attack(lambda: GOOD[:-1], "invalid_json"),
    "a byte-order mark": Attack(lambda: b"\xef\xbb\xbf" + GOOD, "byte_order_mark"),
    "another encoding": Attack(lambda: GOOD.decode().encode("utf-16"), "not_utf8"),
    "deep nesting": Attack(lambda: b"[" * 30_000 + b"]" * 30_000, "too_deep"),
    "deep nesting in a field": Attack(text('"Ada Lovelace"', "[" * 40 + "]" * 40), "too_deep"),
    "10 MB": Attack(lambda: GOOD + b" " * 10_000_000, "too_large"),
    "10 MB of nesting": Attack(lambda: b"[" * 10_000_000, "too_large"),
}


def checked(
    data: bytes | ApprovalFileError,
    approvers: Keyring = APPROVERS,
    *,
    plan_digest: str | None = PLAN,
    cluster_uid: str | None = CLUSTER,
    now: datetime = NOW,
) -> ApprovalVerdict:
    return check_approval(data, approvers=approvers, plan_digest=plan_digest, cluster_uid=cluster_uid, now=now)


def stopped(verdict: ApprovalVerdict, code: str) -> None:
    assert (verdict.approved, verdict.failure_code, verdict.signed_by) == (False, code, ())
    assert verdict.failure_detail is not None
    assert verdict.failure_detail.isprintable(), "one line, whatever was in the file"


UNSIGNED = frozenset({"plan_mismatch", "cluster_mismatch", "approval_expired", "approved_in_the_future"})
"""Codes of the steps after the signature; before them nothing the document says of itself is told."""


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    attack = ATTACKS[name]
    verdict = checked(attack.data())
    stopped(verdict, attack.code)
    if attack.code not in UNSIGNED:
        assert (verdict.approver, verdict.reason, verdict.expires_at) == (None, None, None)


def by_file(path: Path, environment: dict[str, str], approvers: str | None = None) -> ApprovalVerdict:
    """As a command does it: files read with care, keys found where the environment says."""
    data: bytes | ApprovalFileError
    try:
        data = read_approval_file(str(path))
    except ApprovalFileError as error:
        data = error
    return check_approval(
        data,
        approvers=find_approvers(approvers, environment),
        plan_digest=PLAN,
        cluster_uid=CLUSTER,
        now=NOW,
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "keys").mkdir(mode=0o755)
    (tmp_path / "keys" / "approvers.json").write_bytes(APPROVERS_FILE)
    return {"MODEKEEPER_APPROVERS_PATH": str(tmp_path / "keys" / "approvers.json")}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_by_a_real_file(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    attack = ATTACKS[name]
    (tmp_path / "approval.json").write_bytes(attack.data())
    code = "approval_file_too_large" if attack.code == "too_large" else attack.code
    stopped(by_file(tmp_path / "approval.json", environment), code)


@pytest.mark.parametrize("name", test_finding.FILES)
def test_a_file_that_is_not_read(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    make, code = test_finding.FILES[name]
    (tmp_path / "a").mkdir()
    stopped(by_file(make(tmp_path / "a", GOOD), environment), f"approval_file_{code}")


@pytest.mark.parametrize("name", test_finding.FILES)
def test_a_keyring_that_is_not_read_approves_nothing(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    make, code = test_finding.FILES[name]
    (tmp_path / "approval.json").write_bytes(GOOD)
    (tmp_path / "k").mkdir()
    approvers = str(make(tmp_path / "k", APPROVERS_FILE))
    stopped(by_file(tmp_path / "approval.json", environment, approvers), f"keyring_file_{code}")


def test_the_good_one_is_good(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "approval.json").write_bytes(GOOD)
    verdict = by_file(tmp_path / "approval.json", environment)
    assert (verdict.approved, verdict.signed_by, verdict.failure_code) == (True, ("ada",), None)
    assert (verdict.approver, verdict.expires_at) == ("Ada Lovelace", datetime(2026, 6, 2, 11, tzinfo=UTC))


def test_an_approval_without_a_cluster_is_for_the_plans_own(tmp_path: Path) -> None:
    assert checked(approval(cluster_uid=None, reason=None), cluster_uid=None).approved
    stopped(checked(GOOD, cluster_uid=None), "cluster_unknown")
    stopped(checked(GOOD, plan_digest=None), "plan_mismatch")


def test_what_is_revoked_counts_no_more() -> None:
    digest = checked(GOOD).approval_digest
    assert digest is not None
    stopped(checked(GOOD, Keyring(keys=APPROVERS.keys, revoked_kids=frozenset({"ada"}))), "kid_revoked")
    stopped(checked(GOOD, Keyring(keys=APPROVERS.keys, revoked_licenses=frozenset({digest}))), "approval_revoked")


def test_nobody_approves_where_nobody_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "approval.json").write_bytes(GOOD)
    stopped(by_file(tmp_path / "approval.json", {}), "approvers_not_given")
    stopped(by_file(tmp_path / "approval.json", {"MODEKEEPER_APPROVERS_PATH": ""}), "approvers_not_given")


def test_a_key_that_may_sign_licences_may_not_be_an_approvers(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "approval.json").write_bytes(GOOD)
    keys = tmp_path / "keys" / "vendor.json"
    keys.write_bytes(dumped({"vendor-2026": b64(public_bytes("ada"))}))
    stopped(by_file(tmp_path / "approval.json", environment | {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(keys)}),
            "approver_is_issuer")  # fmt: skip
    keys.write_bytes(dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
    assert by_file(tmp_path / "approval.json", environment | {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(keys)}).approved


def test_an_approval_is_never_a_licence() -> None:
    """Whoever signed it, with whatever fields: what is signed as one kind of document is none of the other kind."""
    both = Keyring(keys={**KEYRING.keys, **APPROVERS.keys})
    for data in (
        GOOD,
        approval(kid="vendor-2026", key="vendor-2026"),
        dumped(signed(fields(kid="vendor-2026"), "vendor-2026") | {"schema_version": "license.v1"}),
    ):
        assert not check_license(data, keyring=both, facts=LicenseFacts(), now=NOW, wanted=()).license_ok
    stopped(checked(licence(), both), "schema_unsupported")
    relabelled = dumped(json.loads(licence(kid="ada", key="ada")) | {"schema_version": "approval.v1"})
    stopped(checked(relabelled, both), "field_missing")


def test_no_single_bit_may_change() -> None:
    for position in range(len(GOOD)):
        for bit in range(8):
            data = bytearray(GOOD)
            data[position] ^= 1 << bit
            assert not checked(bytes(data)).approved, f"bit {bit} of byte {position}"


def test_no_byte_may_be_missing_at_the_end() -> None:
    for size in range(len(GOOD)):
        assert not checked(GOOD[:size]).approved, f"{size} bytes"


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_whatever_is_in_the_file_is_answered(data: bytes) -> None:
    verdict = checked(data)
    assert not verdict.approved
    assert verdict.failure_detail is not None
    assert verdict.failure_detail.isprintable()


def test_the_order_of_the_fields_carries_no_meaning() -> None:
    document = json.loads(GOOD)
    turned = json.dumps(dict(reversed(document.items())), indent=3).encode()
    assert checked(turned).approved
