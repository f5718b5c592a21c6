"""Approvals and approvers' keys, made for tests: the signing side is another package."""

from typing import Any

from tests.trust.signing import b64, dumped, public_bytes, signed

from modekeeper.trust.keyring import Keyring

PLAN = f"sha256:{'ab' * 32}"
CLUSTER = "3c1f-uid"
APPROVERS = Keyring(keys={name: public_bytes(name) for name in ("ada", "bob")})
APPROVERS_FILE = dumped({name: b64(public_bytes(name)) for name in ("ada", "bob")})


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of an approval without its signature; a change to ``None`` leaves the field out."""
    made = {
        "schema_version": "approval.v1",
        "plan_digest": PLAN,
        "cluster_uid": CLUSTER,
        "approver": "Ada Lovelace",
        "kid": "ada",
        "approved_at": "2026-06-01T11:00:00Z",
        "expires_at": "2026-06-02T11:00:00Z",
        "reason": "read, and compared with the run of Monday",
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def approval(*, key: str = "ada", **changes: Any) -> bytes:
    """The bytes of an approval signed by ``key``, whoever it says signed it."""
    return dumped(signed(fields(**changes), key))
