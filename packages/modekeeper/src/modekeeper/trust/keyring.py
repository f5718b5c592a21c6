"""Which keys may sign: an allow-list by name, and a deny-list that wins over it."""

from collections.abc import Mapping

import msgspec

from modekeeper.model.untrusted import visible
from modekeeper.trust.ed25519 import KEY_BYTES, decode_base64, key_fault
from modekeeper.trust.faults import KeyringError, TrustError
from modekeeper.trust.fields import DIGEST, KID, Fields, read_document

__all__ = ["EMPTY_KEYRING", "KEYRING_SCHEMA", "LONGEST_KEYRING_BYTES", "Keyring", "read_keyring", "read_keys"]

KEYRING_SCHEMA = "keyring.v1"
LONGEST_KEYRING_BYTES = 1024 * 1024
_MOST_KEYS = 1000


class Keyring(msgspec.Struct, frozen=True, kw_only=True):
    """Public keys by name. What is revoked is refused, whether or not it is listed."""

    keys: Mapping[str, bytes]
    """``kid`` to the 32 raw bytes of an ed25519 public key."""
    revoked_kids: frozenset[str] = frozenset()
    revoked_licenses: frozenset[str] = frozenset()
    """Digests (``sha256:<hex>``) of the payloads of licences."""


EMPTY_KEYRING = Keyring(keys={})


def read_keyring(data: bytes) -> Keyring:
    """The keyring in ``data``: ``{kid: key}``, or a ``keyring.v1`` with a deny-list beside its ``keys``.

    Raises:
        KeyringError: it is none; codes begin with ``keyring_``.
    """
    try:
        fields = read_document(data, LONGEST_KEYRING_BYTES, KeyringError)
        if "schema_version" not in fields.object:
            return Keyring(keys=read_keys(fields, KeyringError))
        fields.schema(KEYRING_SCHEMA)
        fields.exactly(("schema_version", "keys"), ("revoked_kids", "revoked_licenses"))
        return Keyring(
            keys=read_keys(fields.inner("keys"), KeyringError),
            revoked_kids=frozenset(fields.words("revoked_kids", KID)),
            revoked_licenses=frozenset(fields.words("revoked_licenses", DIGEST)),
        )
    except KeyringError as error:
        raise KeyringError(f"keyring_{error.code}", f"the keyring: {error.detail}") from error


def read_keys(fields: Fields, error: type[TrustError]) -> dict[str, bytes]:
    """The keys of an object ``{kid: base64 of 32 raw bytes}``.

    Raises:
        TrustError: as ``error``; ``kid_malformed``, ``key_malformed``, ``key_twice``, ``too_many_keys``.
    """
    if len(fields.object) > _MOST_KEYS:
        raise error("too_many_keys", f"{len(fields.object)} keys; at most {_MOST_KEYS}")
    keys: dict[str, bytes] = {}
    for kid, text in fields.object.items():
        if KID.fullmatch(kid) is None:
            raise error("kid_malformed", f"{visible(kid, 80)!r} is no name of a key: it must be all {KID.pattern}")
        key = decode_base64(text, KEY_BYTES) if isinstance(text, str) else None
        if key is None:
            raise error("key_malformed", f"the key {kid!r} must be {KEY_BYTES} raw bytes in standard base64")
        if (fault := key_fault(key)) is not None:
            raise error("key_malformed", f"the key {kid!r} {fault}")
        if key in keys.values():
            raise error(
                "key_twice", f"the key {kid!r} is listed under another name too: revoking one would leave the other"
            )
        keys[kid] = key
    return keys
