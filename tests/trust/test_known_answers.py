"""Fixed bytes: the formats stay what the licences that are out there were signed as."""

import json

import pytest
from tests.trust.signing import dumped, fields, licence, public_bytes, signed

from modekeeper.trust.canonical_payload import canonical_payload, payload_digest
from modekeeper.trust.ed25519 import signature_is_valid
from modekeeper.trust.license import read_license

PAYLOAD = (
    '{"bindings":{"cluster":"3c1f-uid"},"entitlements":["apply","advanced"],"expires_at":"2027-01-01T00:00:00Z",'
    '"issued_at":"2026-01-01T00:00:00Z","issuer":"ModeKeeper","kid":"vendor-2026","org":"Acmé GmbH",'
    '"schema_version":"license.v1"}'
).encode()


def test_the_canonical_payload_of_a_licence() -> None:
    data = licence(org="Acmé GmbH", bindings={"cluster": "3c1f-uid"})
    assert read_license(data).payload == PAYLOAD
    assert read_license(json.dumps(json.loads(data), indent=4).encode()).payload == PAYLOAD, "escapes carry no meaning"
    assert read_license(data).digest == DIGEST == payload_digest(PAYLOAD)


DIGEST = "sha256:20ef0decd9cf3376ae9fc80020126cf89832180cc6bc6edc50da63c5aad5ceca"


def test_numbers_and_order_as_rfc_8785_has_them() -> None:
    # Section 3.2.3 sorts by UTF-16 code units, not by code points: U+1F600 comes before U+FB33.
    document = {"\ufb33": 1, "\U0001f600": 2, "1": 3, "\u20ac": 4, "signature": "left out"}
    assert canonical_payload(document).decode() == '{"1":3,"\u20ac":4,"\U0001f600":2,"\ufb33":1}'
    with pytest.raises(ValueError, match="exceeds"):
        canonical_payload({"version": 2**53})


RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
"""Section 7.1, tests 1 to 3: key, message, signature."""


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032, ids=["1", "2", "3"])
def test_the_vectors_of_rfc_8032(key: str, message: str, signature: str) -> None:
    good = bytes.fromhex(signature)
    assert signature_is_valid(bytes.fromhex(key), good, bytes.fromhex(message))
    assert not signature_is_valid(bytes.fromhex(key), good, bytes.fromhex(message) + b"\0")


def test_every_honest_key_and_signature_is_taken() -> None:
    for number in range(200):
        name = f"key {number}"
        document = signed(fields(), name)
        read = read_license(dumped(document))
        assert signature_is_valid(public_bytes(name), read.signature, read.payload)
