"""The folder a vendor keeps: private keys, each in a file of its own, and the keyring that goes to customers."""

import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.store import FolderStore
from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.untrusted import visible
from modekeeper.trust.fields import KID
from modekeeper.trust.keyring import EMPTY_KEYRING, KEYRING_SCHEMA, Keyring, read_keyring
from modekeeper.trust.passphrase import Passphrase
from modekeeper.trust.private_key_file import read_private_key_file, write_private_key_file

__all__ = ["KEYRING_FILE", "KeyFolder", "check_kid", "keyring_document", "public_bytes"]

KEYRING_FILE = "keyring.json"
_SUFFIX = ".key.pem"


def check_kid(kid: str) -> str:
    """``kid`` itself, where it can be the name of a key.

    Raises:
        BadInputError: it cannot.
    """
    if KID.fullmatch(kid) is None:
        raise BadInputError(f"{visible(kid, 80)!r} is no name of a key: it must be all {KID.pattern}")
    return kid


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes that verify what ``key`` signs."""
    return key.public_key().public_bytes_raw()


def keyring_document(keyring: Keyring) -> bytes:
    """The file of a keyring, as ``modekeeper.trust`` reads it."""
    return document(
        {
            "schema_version": KEYRING_SCHEMA,
            "keys": {kid: base64.b64encode(key).decode() for kid, key in keyring.keys.items()},
            "revoked_kids": sorted(keyring.revoked_kids),
            "revoked_licenses": sorted(keyring.revoked_licenses),
        }
    )


class KeyFolder:
    """Private keys and a keyring, of the issuers or of the root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(self) -> None:
        """Make the folder, for its owner alone, where it is missing.

        Raises:
            BadInputError: it cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadInputError(f"cannot use {str(self.root)!r} as the folder of keys: {_why(error)}") from error

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One process at a time: two that add to the keyring at once would lose a key, or a revocation."""
        try:
            handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BadInputError(f"{str(self.root)!r} is no folder of keys: {_why(error)}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def keyring(self) -> Keyring:
        """The keyring; empty where there is no file yet.

        Raises:
            KeyringError: the file is no keyring.
            FailedError: it cannot be read.
        """
        try:
            data = (self.root / KEYRING_FILE).read_bytes()
        except FileNotFoundError:
            return EMPTY_KEYRING
        except OSError as error:
            raise FailedError(f"cannot read {str(self.root / KEYRING_FILE)!r}: {_why(error)}") from error
        return read_keyring(data)

    def write_keyring(self, keyring: Keyring) -> None:
        """Write the keyring, whole or not at all, as customers will read it.

        Raises:
            FailedError: the disk did not take it.
            KeyringError: it is none that they could read.
        """
        data = keyring_document(keyring)
        read_keyring(data)
        FolderStore(self.root).write_bytes(KEYRING_FILE, data)

    def has_private_key(self, kid: str) -> bool:
        """Whether there is a file of that private key."""
        return self._place(kid).exists()

    def write_private_key(self, kid: str, key: Ed25519PrivateKey, passphrase: Passphrase) -> Path:
        """Write a new private key, encrypted, mode 0600, whole or not at all, and over no other one.

        Raises:
            BadInputError: there is one of that name.
            FailedError: the disk did not take it.
        """
        place = self._place(kid)
        write_private_key_file(place, key, passphrase)
        return place

    def private_key(self, kid: str, passphrase: Passphrase) -> Ed25519PrivateKey:
        """The private key of that name.

        Raises:
            BadInputError: there is none, or the passphrase is another one.
        """
        return read_private_key_file(self._place(kid), passphrase, f"the private key {kid!r}")

    def signing_key(self, kid: str, passphrase: Passphrase) -> Ed25519PrivateKey:
        """The private key of that name, if what it signs will be good: the keyring lists it, and revokes it not.

        Raises:
            BadInputError: otherwise.
        """
        keyring = self.keyring()
        if kid in keyring.revoked_kids:
            raise BadInputError(f"the key {kid!r} is revoked: sign with another one")
        if kid not in keyring.keys:
            raise BadInputError(f"the keyring in {str(self.root)!r} does not list the key {visible(kid, 80)!r}")
        key = self.private_key(kid, passphrase)
        if public_bytes(key) != keyring.keys[kid]:
            raise BadInputError(f"the private key {kid!r} is not the one that the keyring lists under that name")
        return key

    def _place(self, kid: str) -> Path:
        return self.root / f"{check_kid(kid)}{_SUFFIX}"


def _why(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
