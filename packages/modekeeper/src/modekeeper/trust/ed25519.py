"""Ed25519 (RFC 8032), verified strictly: no encoding or point that some verifiers take and others refuse.

RFC 8032 leaves room (Chalkias, Garillot, Nikolaenko: "Taming the many EdDSAs", 2020): with a public key of small
order one signature is valid for many messages, and points have more than one encoding. Neither is taken here.
"""

import base64
import binascii

__all__ = ["KEY_BYTES", "SIGNATURE_BYTES", "decode_base64", "key_fault", "signature_fault", "signature_is_valid"]

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y})
"""The y coordinates of the eight points whose order divides 8."""


def decode_base64(text: str, size: int) -> bytes | None:
    """The ``size`` bytes of standard padded base64; ``None`` where it is not the one way to write them."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) == size and base64.b64encode(data).decode() == text else None


def key_fault(key: bytes) -> str | None:
    """Why ``key`` is no public key to be used, as the end of a sentence; ``None`` where it is one."""
    if len(key) != KEY_BYTES:
        return f"has {len(key)} bytes, not {KEY_BYTES}"
    return _point_fault(key)


def signature_fault(signature: bytes) -> str | None:
    """Why ``signature`` cannot be one, whatever the key and the message; ``None`` where it can."""
    if len(signature) != SIGNATURE_BYTES:
        return f"has {len(signature)} bytes, not {SIGNATURE_BYTES}"
    if int.from_bytes(signature[KEY_BYTES:], "little") >= _ORDER:
        return "has a second half that is not below the order of the group"
    fault = _point_fault(signature[:KEY_BYTES])
    return None if fault is None else f"has a first half that {fault}"


def signature_is_valid(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` is that of ``message`` by the private half of ``key`` (32 raw bytes)."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow to import, and most commands verify nothing
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if key_fault(key) is not None or signature_fault(signature) is not None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _point_fault(encoded: bytes) -> str | None:
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= _P:
        return "is not the canonical encoding of a point"
    if y in _SMALL_ORDER_Y:
        return "is a point of small order"
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return None if pow(x_squared, (_P - 1) // 2, _P) == 1 else "is no point of the curve"
