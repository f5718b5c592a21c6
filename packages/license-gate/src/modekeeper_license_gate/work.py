"""What each command does, without the command line. Each returns the lines that a person is told."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError
from modekeeper.trust.faults import KeyringError, LicenseDocumentError
from modekeeper.trust.fields import DIGEST, read_document
from modekeeper.trust.issuer_keyset import LONGEST_KEYSET_BYTES, IssuerKeyset, read_issuer_keyset
from modekeeper.trust.keyring import LONGEST_KEYRING_BYTES, Keyring, read_keyring
from modekeeper.trust.license import LONGEST_LICENSE_BYTES, read_license
from modekeeper.trust.passphrase import Passphrase
from modekeeper_license_gate.key_folder import KEYRING_FILE, KeyFolder, check_kid, keyring_document, public_bytes
from modekeeper_license_gate.signing import LicenseTerms, keyset, licence, moment

__all__ = [
    "inspect",
    "issue",
    "make_development_licence",
    "make_key",
    "read_file",
    "retire_key",
    "revoke",
    "sign_keyset",
]

DEVELOPMENT = "development"
DEVELOPMENT_ISSUER = "ModeKeeper DEVELOPMENT, not for production"
DEVELOPMENT_KEYRING = "development_keyring.json"
LICENSE_FILE = "modekeeper.license.json"
LONGEST_DEVELOPMENT_DAYS = 90

Lines = list[str]


def read_file(path: Path, longest: int) -> bytes:
    """The bytes of a file, of which at most one more than ``longest`` are read.

    Raises:
        BadInputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(longest + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise BadInputError(f"cannot read {str(path)!r}: {why.lower()}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write a public file, whole or not at all."""
    FolderStore(path.parent).write_bytes(path.name, data)


def make_key(folder: KeyFolder, kid: str, passphrase: Passphrase) -> Lines:
    """Make a key, and list its public half in the keyring.

    A private key that is there and not listed is what a crash in between has left: it is listed now.
    """
    check_kid(kid)
    folder.make()
    with folder.changing():
        keyring = folder.keyring()
        if kid in keyring.keys or kid in keyring.revoked_kids:
            raise BadInputError(f"the keyring has the key {kid!r} already: a new key needs a name that was never used")
        if folder.has_private_key(kid):
            key = folder.private_key(kid, passphrase)
            said = f"private key {kid}: found, and not listed yet"
        else:
            key = Ed25519PrivateKey.generate()
            said = f"private key {kid}: made, encrypted, in {folder.write_private_key(kid, key, passphrase)}"
        folder.write_keyring(msgspec.structs.replace(keyring, keys={**keyring.keys, kid: public_bytes(key)}))
    return [said, f"keyring: {folder.root / KEYRING_FILE}"]


def retire_key(folder: KeyFolder, kid: str) -> Lines:
    """Take a key off the keyring: the end of a rotation, when the last licence it signed has expired."""
    with folder.changing():
        keyring = folder.keyring()
        if kid not in keyring.keys:
            raise BadInputError(f"the keyring in {str(folder.root)!r} does not list that key")
        left = {name: raw for name, raw in keyring.keys.items() if name != kid}
        if not left:
            raise BadInputError(f"{kid!r} is the only key: make another one first")
        folder.write_keyring(msgspec.structs.replace(keyring, keys=left))
    return [f"key {kid}: listed no more", f"keyring: {folder.root / KEYRING_FILE}"]


def issue(folder: KeyFolder, kid: str, passphrase: Passphrase, terms: LicenseTerms, out: Path) -> Lines:
    """Sign a licence, once the keyring says that it will verify, and write it."""
    key = folder.signing_key(kid, passphrase)
    data, made = licence(terms, kid, key)
    write_file(out, data)
    return [
        f"licence: {out}",
        f"for {made.org}, signed by {kid}, until {moment(made.expires_at)}: {', '.join(made.entitlements)}",
        f"digest: {made.digest}",
    ]


def revoke(folder: KeyFolder, kind: Literal["key", "licence"], names: tuple[str, ...]) -> Lines:
    """Put keys or licences (their digests) on the deny-list of the keyring, for good."""
    for name in names:
        if kind == "key":
            check_kid(name)
        elif DIGEST.fullmatch(name) is None:
            raise BadInputError(f"a licence is named by its digest, all {DIGEST.pattern}")
    with folder.changing():
        keyring = folder.keyring()
        for name in names:
            if kind == "key" and name not in keyring.keys and name not in keyring.revoked_kids:
                raise BadInputError(f"the keyring in {str(folder.root)!r} has no key {name!r}")
        field = "revoked_kids" if kind == "key" else "revoked_licenses"
        folder.write_keyring(msgspec.structs.replace(keyring, **{field: getattr(keyring, field) | set(names)}))
    return [*(f"revoked {kind}: {name}" for name in names), f"keyring to hand out: {folder.root / KEYRING_FILE}"]


def sign_keyset(
    issuers: Keyring, root: KeyFolder, kid: str, passphrase: Passphrase, *, now: datetime, days: int, out: Path
) -> Lines:
    """Sign the issuers' keyring with the root's key; its version is one more than that of the file it replaces."""
    if not issuers.keys:
        raise BadInputError("the issuers' keyring is empty: make a key first")
    key = root.signing_key(kid, passphrase)
    if public_bytes(key) in issuers.keys.values():
        raise BadInputError("the root's key is among the issuers: it must sign keysets alone")
    with root.changing():
        version = _version_of(out) + 1 if out.exists() else 1
        expires_at = now + timedelta(days=days)
        write_file(out, keyset(issuers, kid=kid, key=key, version=version, issued_at=now, expires_at=expires_at))
    return [f"issuer keyset: {out}", f"version {version}, signed by {kid}, until {moment(expires_at)}"]


def _version_of(path: Path) -> int:
    return read_issuer_keyset(read_file(path, LONGEST_KEYSET_BYTES)).version


def make_development_licence(folder: Path, *, now: datetime, days: int, entitlements: tuple[str, ...]) -> Lines:
    """A licence for demos, and the keyring it verifies with. The private key is forgotten, and never written."""
    if not 1 <= days <= LONGEST_DEVELOPMENT_DAYS:
        raise BadInputError(f"a development licence is good for 1 to {LONGEST_DEVELOPMENT_DAYS} days, not {days}")
    place = folder / LICENSE_FILE
    if (place.exists() or place.is_symlink()) and not _is_development(place):
        raise BadInputError(f"{str(place)!r} is no development licence, and is not overwritten: choose another folder")
    key = Ed25519PrivateKey.generate()
    raw = public_bytes(key)
    kid = f"{DEVELOPMENT}-{raw.hex()[:16]}"
    terms = LicenseTerms(
        org=DEVELOPMENT,
        issuer=DEVELOPMENT_ISSUER,
        issued_at=now,
        expires_at=now + timedelta(days=days),
        entitlements=entitlements,
        bindings={},
    )
    data, made = licence(terms, kid, key)
    write_file(folder / DEVELOPMENT_KEYRING, keyring_document(Keyring(keys={kid: raw})))
    write_file(place, data)
    return [
        f"DEVELOPMENT licence: {place}",
        f"until {moment(made.expires_at)}: {', '.join(made.entitlements)}",
        f"DEVELOPMENT keyring: {folder / DEVELOPMENT_KEYRING}",
        "It verifies only where MK_LICENSE_GATE_PUBLIC_KEYS_PATH names that keyring.",
    ]


def _is_development(path: Path) -> bool:
    try:
        return read_license(read_file(path, LONGEST_LICENSE_BYTES)).issuer == DEVELOPMENT_ISSUER
    except LicenseDocumentError:
        return False


def inspect(path: Path) -> Lines:
    """What a file says. Private keys stay closed."""
    data = read_file(path, LONGEST_KEYRING_BYTES)
    if data.startswith(b"-----BEGIN "):
        encrypted = data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        return [
            "an encrypted private key; it was not opened" if encrypted else "a PEM file that mk-license did not make"
        ]
    fields = read_document(data, LONGEST_KEYRING_BYTES, KeyringError)
    match fields.object.get("schema_version"):
        case "license.v1":
            return _told_licence(data)
        case "issuer_keyset.v1":
            return _told_keyset(read_issuer_keyset(data))
        case _:
            return _told_keyring(read_keyring(data))


def _told_licence(data: bytes) -> Lines:
    made = read_license(data)
    bound = [f"{name}={value}" for name, value in msgspec.structs.asdict(made.bindings).items() if value is not None]
    return [
        f"licence for {made.org}, by {made.issuer}, key {made.kid} (the signature was not verified here)",
        f"from {moment(made.issued_at)} until {moment(made.expires_at)}",
        f"entitlements: {', '.join(made.entitlements) or 'none'}",
        f"bound to: {', '.join(bound) or 'nothing'}",
        f"digest: {made.digest}",
    ]


def _told_keyset(made: IssuerKeyset) -> Lines:
    return [
        f"issuer keyset, version {made.version}, root key {made.kid} (the signature was not verified here)",
        f"from {moment(made.issued_at)} until {moment(made.expires_at)}",
        *_told_keyring(made.keyring),
    ]


def _told_keyring(keyring: Keyring) -> Lines:
    return [
        f"keyring of {len(keyring.keys)} keys",
        *(f"key {kid}{' REVOKED' if kid in keyring.revoked_kids else ''}" for kid in sorted(keyring.keys)),
        *(f"revoked key {kid}" for kid in sorted(keyring.revoked_kids - set(keyring.keys))),
        *(f"revoked licence {digest}" for digest in sorted(keyring.revoked_licenses)),
    ]
