"""Keys and signed documents, made for tests: the issuing side is another package."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.trust.canonical_payload import canonical_payload
from modekeeper.trust.check import LicenseFacts
from modekeeper.trust.keyring import Keyring

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
FACTS = LicenseFacts(cluster_uid="3c1f-uid", host="node-1", org="Acme GmbH")


def private_key(name: str) -> Ed25519PrivateKey:
    """The same key for the same name, every time."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public_bytes(name: str) -> bytes:
    return private_key(name).public_key().public_bytes_raw()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


KEYRING = Keyring(keys={"vendor-2026": public_bytes("vendor-2026"), "vendor-2027": public_bytes("vendor-2027")})


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a licence without its signature; a change to ``None`` leaves the field out."""
    made = {
        "schema_version": "license.v1",
        "org": "Acme GmbH",
        "kid": "vendor-2026",
        "issuer": "ModeKeeper",
        "issued_at": "2026-01-01T00:00:00Z",
        "expires_at": "2027-01-01T00:00:00Z",
        "entitlements": ["apply", "advanced"],
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def signed(document: dict[str, Any], key: str = "vendor-2026") -> dict[str, Any]:
    return document | {"signature": b64(private_key(key).sign(canonical_payload(document)))}


def dumped(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def licence(*, key: str = "vendor-2026", **changes: Any) -> bytes:
    """The bytes of a licence signed by ``key``, whoever it says signed it."""
    return dumped(signed(fields(**changes), key))
