"""Private keys at rest: PKCS#8 (RFC 5958), encrypted by PBES2 with scrypt (RFC 7914) and AES-256-CBC.

The library that opens these files writes them with 2,048 rounds of PBKDF2 and lets nobody ask for more. Here the key
is derived by scrypt; the container is the standard one, which that library and ``openssl pkey`` open.

No command of ``mk`` reads or writes such a file: the commands that sign, which are other packages, do.
"""

import base64
import os
import textwrap
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.model.untrusted import visible
from modekeeper.trust.passphrase import Passphrase

__all__ = ["HEADER", "decrypted", "encrypted", "read_private_key_file", "write_private_key_file"]

HEADER = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_FOOTER = b"-----END ENCRYPTED PRIVATE KEY-----"

_LONGEST_BYTES = 16 * 1024

_COST, _BLOCK_SIZE, _PARALLELISM = 2**14, 8, 5
"""OWASP, Password Storage Cheat Sheet, for 16 MiB: as much memory as ``openssl`` allows a file to ask for."""
_KEY_BYTES = 32
_BLOCK_BITS = 128

_SEQUENCE, _INTEGER, _OCTETS, _OID = 0x30, 0x02, 0x04, 0x06
_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42


def encrypted(key: Ed25519PrivateKey, passphrase: Passphrase) -> bytes:
    """The file of a private key, PEM; a new salt each time."""
    salt, vector = os.urandom(16), os.urandom(16)
    derived = Scrypt(salt=salt, length=_KEY_BYTES, n=_COST, r=_BLOCK_SIZE, p=_PARALLELISM).derive(passphrase.reveal())
    padder = PKCS7(_BLOCK_BITS).padder()
    plain = padder.update(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())) + padder.finalize()
    encryptor = Cipher(AES256(derived), CBC(vector)).encryptor()
    ciphertext = encryptor.update(plain) + encryptor.finalize()
    derivation = _sequence(_tlv(_OID, _SCRYPT), _sequence(_tlv(_OCTETS, salt), *map(_integer, _costs())))
    cipher = _sequence(_tlv(_OID, _AES_256_CBC), _tlv(_OCTETS, vector))
    algorithm = _sequence(_tlv(_OID, _PBES2), _sequence(derivation, cipher))
    body = base64.b64encode(_sequence(algorithm, _tlv(_OCTETS, ciphertext))).decode()
    return b"\n".join([HEADER, *(line.encode() for line in textwrap.wrap(body, 64)), _FOOTER, b""])


def decrypted(data: bytes, passphrase: Passphrase, name: str) -> Ed25519PrivateKey:
    """The private key in the file ``data``.

    Raises:
        BadInputError: it is no encrypted private key for ed25519, or the passphrase is another one.
    """
    if not data.startswith(HEADER):
        raise BadInputError(f"{name} is no encrypted private key: it must begin with {HEADER.decode()!r}")
    try:
        key = load_pem_private_key(data, passphrase.reveal())
    except (ValueError, TypeError, UnsupportedAlgorithm, MemoryError):
        # The library's text and its cause are of no use to the person, and are not ours to vouch for.
        raise BadInputError(f"the passphrase does not open {name}, or the file is damaged") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInputError(f"{name} is a private key, but not for ed25519")
    return key


def write_private_key_file(place: Path, key: Ed25519PrivateKey, passphrase: Passphrase) -> None:
    """Write a new private key, encrypted, mode 0600, whole or not at all, and over no other file.

    Raises:
        BadInputError: there is a file of that name.
        FailedError: the disk did not take it.
    """
    data = encrypted(key, passphrase)
    unfinished = place.parent / f".unfinished-{os.getpid()}-{os.urandom(8).hex()}"
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)
            file.write(data)
            file.flush()
            os.fsync(handle)
        place.hardlink_to(unfinished)  # unlike a rename, never over what is there
        _flush_folder(place.parent)
    except FileExistsError as error:
        name = visible(place.name, 300)
        raise BadInputError(f"there is a private key {name!r} already: give the new one another name") from error
    except OSError as error:
        raise FailedError(
            f"cannot write {visible(str(place), 300)!r}: {_why(error)}. Nothing of it was kept."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def read_private_key_file(place: Path, passphrase: Passphrase, name: str) -> Ed25519PrivateKey:
    """The private key in a file; ``name``: what a message calls it.

    Raises:
        BadInputError: there is none, or the passphrase is another one.
    """
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            data = file.read(_LONGEST_BYTES)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read the private key {visible(str(place), 300)!r}: {_why(error)}") from error
    return decrypted(data, passphrase, name)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()


def _costs() -> tuple[int, int, int]:
    return _COST, _BLOCK_SIZE, _PARALLELISM


def _tlv(tag: int, content: bytes) -> bytes:
    """A value in DER (X.690); contents of up to 65,535 bytes."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - X.690, 8.1.3.4
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _sequence(*parts: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
