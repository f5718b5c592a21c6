"""Private keys at rest: PKCS#8 (RFC 5958), encrypted by PBES2 with scrypt (RFC 7914) and AES-256-CBC.

The library that opens these files writes them with 2,048 rounds of PBKDF2 and lets nobody ask for more. Here the key
is derived by scrypt; the container is the standard one, which that library and ``openssl pkey`` open.
"""

import base64
import os
import textwrap

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

from modekeeper.model.errors import BadInputError
from modekeeper_license_gate.passphrase import Passphrase

__all__ = ["HEADER", "decrypted", "encrypted"]

HEADER = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_FOOTER = b"-----END ENCRYPTED PRIVATE KEY-----"

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
