"""The bytes a signature is over: RFC 8785 (JSON Canonicalization Scheme) of a document without its signature."""

from collections.abc import Mapping
from typing import Any

__all__ = ["SIGNATURE_FIELD", "canonical_payload", "payload_digest"]

SIGNATURE_FIELD = "signature"


def canonical_payload(document: Mapping[str, Any]) -> bytes:
    """The RFC 8785 form of ``document`` without its top-level ``signature``, UTF-8.

    ``schema_version`` is inside, so that what is signed as one kind of document is never valid as another.

    Raises:
        ValueError: it holds what that form cannot carry: NaN, a number beyond 2**53, half of a surrogate pair.
    """
    import rfc8785  # noqa: PLC0415 - only where something is signed or verified

    return rfc8785.dumps({key: value for key, value in document.items() if key != SIGNATURE_FIELD})


def payload_digest(payload: bytes) -> str:
    """``sha256:<hex>`` of a canonical payload: the name of a licence in a deny-list.

    It leaves the signature out, so that no second signature gives a revoked licence another name.
    """
    import hashlib  # noqa: PLC0415 - loads OpenSSL

    return f"sha256:{hashlib.sha256(payload).hexdigest()}"
