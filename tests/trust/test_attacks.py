"""Every known way to make a licence say what nobody signed, as a row of one table."""

import base64
import json
import string
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
from tests.trust.altering import with_field_in, with_signature_in, with_text_in
from tests.trust.signing import FACTS, KEYRING, NOW, b64, dumped, fields, licence, private_key, public_bytes, signed

from modekeeper.model.decision import BlockReason
from modekeeper.trust.check import LicenseFacts, check_license
from modekeeper.trust.ed25519 import signature_is_valid
from modekeeper.trust.keyring import Keyring

GOOD = licence(bindings={"cluster": "3c1f-uid"})
ORDER = 2**252 + 27742317777372353535851937790883648493


class Attack(NamedTuple):
    data: Callable[[], bytes]
    code: str
    reason: BlockReason = BlockReason.LICENSE_INVALID
    keyring: Keyring = KEYRING
    facts: LicenseFacts = FACTS


text = partial(with_text_in, GOOD)
with_field = partial(with_field_in, GOOD)
with_signature = partial(with_signature_in, GOOD)


def half_plus_order(signature: bytes) -> bytes:
    """The same signature to a verifier that takes its second half modulo the order of the group."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


SMALL_ORDER = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
WEAK = Keyring(keys={"vendor-2026": SMALL_ORDER})
"""As if a key that fits many signatures had come past the check of the keyring."""

ATTACKS: dict[str, Attack] = {
    "more entitlements": Attack(text('"advanced"', '"advanced", "fleet"'), "signature_mismatch"),
    "a later expiry": Attack(text("2027-01-01T", "2037-01-01T"), "signature_mismatch"),
    "bindings taken out": Attack(
        lambda: dumped({k: v for k, v in json.loads(GOOD).items() if k != "bindings"}), "signature_mismatch"
    ),
    "bindings emptied": Attack(with_field(bindings={}), "field_invalid"),
    "bindings of null": Attack(with_field(bindings=None), "wrong_type"),
    "a binding of null": Attack(with_field(bindings={"cluster": None}), "wrong_type"),
    "a duplicate key, the good one last": Attack(text('{"schema', '{"org": "Evil", "schema'), "duplicate_key"),
    "a duplicate key, the good one first": Attack(text(', "signature"', ', "org": "E", "signature"'), "duplicate_key"),
    "a duplicate key in the bindings": Attack(text('{"cluster"', '{"cluster": "x", "cluster"'), "duplicate_key"),
    "a duplicate key, escaped": Attack(text('{"schema', '{"\\u006frg": "Evil", "schema'), "duplicate_key"),
    "a field nobody knows": Attack(with_field(max_clusters=1000), "field_unknown"),
    "a field nobody knows, signed": Attack(lambda: licence(note="hello"), "field_unknown"),
    "a binding nobody knows, signed": Attack(lambda: licence(bindings={"region": "eu"}), "field_unknown"),
    "an algorithm": Attack(with_field(alg="none"), "field_unknown"),
    "an algorithm, signed": Attack(lambda: licence(algorithm="ed25519"), "field_unknown"),
    "a key of its own": Attack(with_field(public_key=b64(public_bytes("evil"))), "field_unknown"),
    "a field missing": Attack(lambda: licence(issuer=None), "field_missing"),
    "no signature": Attack(lambda: dumped(fields()), "field_missing"),
    "an empty signature": Attack(with_field(signature=""), "signature_malformed"),
    "a signature of null": Attack(with_field(signature=None), "wrong_type"),
    "a signature list": Attack(with_field(signature=[b64(bytes(64))]), "wrong_type"),
    "a signature of zeros": Attack(with_signature(lambda s: bytes(len(s))), "signature_malformed"),
    "half a signature": Attack(with_signature(lambda s: s[:32]), "signature_malformed"),
    "a signature and a byte": Attack(with_signature(lambda s: s + b"\0"), "signature_malformed"),
    "a signature with a line end": Attack(text('=="', '==\\n"'), "signature_malformed"),
    "a signature without padding": Attack(text('=="', '"'), "signature_malformed"),
    "a signature written another way": Attack(
        lambda: dumped({k: alternative(v) if k == "signature" else v for k, v in json.loads(GOOD).items()}),
        "signature_malformed",
    ),
    "a signature that is not reduced": Attack(with_signature(half_plus_order), "signature_malformed"),
    "a signature with a point of small order": Attack(
        with_signature(lambda s: SMALL_ORDER + s[32:]), "signature_malformed"
    ),
    "a signature with a point that is not canonical": Attack(
        with_signature(lambda s: (2**255 - 19 + 3).to_bytes(32, "little") + s[32:]), "signature_malformed"
    ),
    "a key of small order": Attack(lambda: GOOD, "signature_mismatch", keyring=WEAK),
    "a key that is not canonical": Attack(
        lambda: GOOD,
        "signature_mismatch",
        keyring=Keyring(keys={"vendor-2026": (2**255 - 19 + 3).to_bytes(32, "little")}),
    ),
    "a kid nobody knows": Attack(lambda: licence(kid="evil", key="evil"), "kid_unknown"),
    "the kid of another key": Attack(lambda: licence(kid="vendor-2027", key="vendor-2026"), "signature_mismatch"),
    "the kid changed to another known one": Attack(text('"vendor-2026"', '"vendor-2027"'), "signature_mismatch"),
    "a key of nobody under a known kid": Attack(lambda: licence(key="evil"), "signature_mismatch"),
    "a kid that is a path": Attack(lambda: licence(kid="../../etc/keys"), "field_invalid"),
    "a kid with a line end": Attack(lambda: licence(kid="vendor-2026\n"), "field_invalid"),
    "a kid with a look-alike": Attack(lambda: licence(kid="v\u0435ndor-2026"), "field_invalid"),
    "a kid of many digits of another script": Attack(
        lambda: licence(kid="vendor-\u0662\u0660\u0662\u0666"), "field_invalid"
    ),
    "an entitlement with a look-alike": Attack(lambda: licence(entitlements=["\u0430pply"]), "field_invalid"),
    "an entitlement twice": Attack(lambda: licence(entitlements=["apply", "apply"]), "field_invalid"),
    "an organisation with a look-alike": Attack(
        lambda: licence(org="Evil", bindings={"org": "\u0410cme GmbH"}), "org_mismatch", BlockReason.BINDING_MISMATCH
    ),
    "an organisation in another Unicode form": Attack(lambda: licence(org="Acme\u0301"), "field_invalid"),
    "an organisation that runs backwards": Attack(lambda: licence(org="\u202eemcA"), "field_invalid"),
    "an organisation with something invisible": Attack(lambda: licence(org="Acme\u200b"), "field_invalid"),
    "half of a surrogate pair": Attack(text("Acme", "\\ud800cme"), "bad_text"),
    "a version as a float": Attack(with_field(schema_version=1e0), "schema_unsupported"),
    "a time as a float": Attack(text('"2027-01-01T00:00:00Z"', "1e0"), "wrong_type"),
    "a time as minus nothing": Attack(text('"2027-01-01T00:00:00Z"', "-0"), "wrong_type"),
    "a time beyond exact numbers": Attack(text('"2027-01-01T00:00:00Z"', "9007199254740993"), "wrong_type"),
    "a time of thousands of digits": Attack(text('"2027-01-01T00:00:00Z"', "1" * 5000), "not_a_number"),
    "a time that is infinite": Attack(text('"2027-01-01T00:00:00Z"', "1e999"), "not_a_number"),
    "a time that is NaN": Attack(text('"2027-01-01T00:00:00Z"', "NaN"), "not_a_number"),
    "a time in another zone": Attack(lambda: licence(expires_at="2027-01-01T00:00:00+14:00"), "field_invalid"),
    "a time with a fraction": Attack(lambda: licence(expires_at="2027-01-01T00:00:00.0Z"), "field_invalid"),
    "a time that is none": Attack(lambda: licence(expires_at="2027-02-30T00:00:00Z"), "field_invalid"),
    "a time in digits of another script": Attack(
        lambda: licence(expires_at="\u0662\u0660\u0662\u0667-01-01T00:00:00Z"), "field_invalid"
    ),
    "expired before it was issued": Attack(lambda: licence(expires_at="2025-01-01T00:00:00Z"), "field_invalid"),
    "another schema": Attack(lambda: licence(schema_version="license.v2"), "schema_unsupported"),
    "an issuer keyset in its place": Attack(
        lambda: dumped(signed({"schema_version": "issuer_keyset.v1", "kid": "vendor-2026", "keys": {}})),
        "schema_unsupported",
    ),
    "nothing": Attack(lambda: b"", "invalid_json"),
    "no object": Attack(lambda: b"[]", "wrong_type"),
    "true": Attack(lambda: b"true", "wrong_type"),
    "two documents": Attack(lambda: GOOD + GOOD, "invalid_json"),
    "something behind it": Attack(lambda: GOOD + b"\0", "invalid_json"),
    "a comment": Attack(lambda: GOOD + b"// yes", "invalid_json"),
    "a byte-order mark": Attack(lambda: b"\xef\xbb\xbf" + GOOD, "byte_order_mark"),
    "another encoding": Attack(lambda: GOOD.decode().encode("utf-16"), "not_utf8"),
    "10 MB": Attack(lambda: GOOD + b" " * 10_000_000, "too_large"),
    "10 MB of nesting": Attack(lambda: b"[" * 10_000_000, "too_large"),
    "deep nesting": Attack(lambda: b"[" * 30_000 + b"]" * 30_000, "too_deep"),
    "deep nesting in a field": Attack(text('"ModeKeeper"', "[" * 40 + "]" * 40), "too_deep"),
    "a licence for another cluster": Attack(
        lambda: licence(bindings={"cluster": "another-uid"}), "cluster_mismatch", BlockReason.BINDING_MISMATCH
    ),
    "a cluster that will not say who it is": Attack(
        lambda: GOOD, "cluster_unknown", BlockReason.BINDING_MISMATCH, facts=LicenseFacts(host="node-1")
    ),
}


def alternative(encoded: str) -> str:
    """The same bytes to a lenient decoder of base64: the bits that carry nothing are set."""
    alphabet = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}+/"
    changed = f"{encoded[:-3]}{alphabet[alphabet.index(encoded[-3]) | 1]}=="
    assert base64.b64decode(changed) == base64.b64decode(encoded)
    return changed


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    attack = ATTACKS[name]
    verdict = check_license(attack.data(), keyring=attack.keyring, facts=attack.facts, now=NOW, wanted=("apply",))
    assert (verdict.license_ok, verdict.reason_code, verdict.failure_code) == (False, attack.reason, attack.code)
    detail = verdict.failure_detail
    assert detail is not None
    assert detail.isprintable(), "one line, whatever was in the file"
    if attack.reason is BlockReason.LICENSE_INVALID:
        assert (verdict.org, verdict.issuer, verdict.expires_at) == (None, None, None), "nothing unsigned is a fact"
        assert verdict.entitlements == ()


def test_the_licence_the_attacks_start_from_is_good() -> None:
    assert check_license(GOOD, keyring=KEYRING, facts=FACTS, now=NOW, wanted=("apply",)).license_ok


def test_no_single_bit_may_change() -> None:
    for position in range(len(GOOD)):
        for bit in range(8):
            data = bytearray(GOOD)
            data[position] ^= 1 << bit
            verdict = check_license(bytes(data), keyring=KEYRING, facts=FACTS, now=NOW, wanted=("apply",))
            assert not verdict.license_ok, f"bit {bit} of byte {position}"


def test_no_byte_may_be_missing_at_the_end() -> None:
    for size in range(len(GOOD)):
        verdict = check_license(GOOD[:size], keyring=KEYRING, facts=FACTS, now=NOW, wanted=())
        assert not verdict.license_ok, f"{size} bytes"


def small_order_points() -> list[bytes]:
    """All encodings, canonical or not, of the eight points whose order divides 8."""
    p = 2**255 - 19
    order_8 = int.from_bytes(SMALL_ORDER, "little")
    ys = {0, 1, p - 1, order_8, p - order_8}
    encodings = {y for base in ys for y in (base, base + p) if y < 2**255}
    return [(y | sign << 255).to_bytes(32, "little") for y in sorted(encodings) for sign in (0, 1)]


@pytest.mark.parametrize("key", small_order_points(), ids=lambda key: key.hex()[:8] + key.hex()[-2:])
def test_no_point_of_small_order_is_a_key(key: bytes) -> None:
    # With such a key, this would be a signature of every message or of one in eight, to a lenient verifier.
    for message in (bytes([number]) for number in range(16)):
        assert not signature_is_valid(key, key + bytes(32), message)
        assert not signature_is_valid(key, b"\x01" + bytes(63), message)


def test_a_signature_is_of_one_message_by_one_key() -> None:
    signature = private_key("a").sign(b"m")
    assert signature_is_valid(public_bytes("a"), signature, b"m")
    assert not signature_is_valid(public_bytes("a"), signature, b"n")
    assert not signature_is_valid(public_bytes("b"), signature, b"m")
