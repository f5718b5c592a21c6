"""The one question about a licence: is it good here, now, for this? Pure; the steps are those of docs/LICENSING.md."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.model.decision import BlockReason
from modekeeper.model.untrusted import visible
from modekeeper.trust.ed25519 import signature_fault, signature_is_valid
from modekeeper.trust.faults import LicenseDocumentError, LicenseFileError, TrustError
from modekeeper.trust.keyring import Keyring
from modekeeper.trust.license import License, read_license

__all__ = ["CLOCK_TOLERANCE_S", "LicenseFacts", "LicenseVerdict", "check_license"]

CLOCK_TOLERANCE_S = 600
"""How far clocks of honest machines may lie apart."""


class LicenseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the place. ``None`` means not known, and no binding is met by that."""

    cluster_uid: str | None = None
    """Of the namespace ``kube-system``."""
    host: str | None = None
    org: str | None = None
    newest_seen: datetime | None = None
    """The latest time that is known to have passed (:class:`modekeeper.trust.state.TrustState`); with a zone."""


class LicenseVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a licence is good, or the first step that stopped it."""

    license_ok: bool
    reason: str
    """``license_ok``, or the same as ``reason_code``."""
    reason_code: BlockReason | None = None
    """Set exactly when ``license_ok`` is false."""
    failure_code: str | None = None
    """What exactly, for scripts."""
    failure_detail: str | None = None
    """One line for a person; text from outside in it is escaped."""
    kid: str | None = None
    """As the document says, from step 4 on."""
    issuer: str | None = None
    """This and all below: only once the signature was verified."""
    org: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    entitlements: tuple[str, ...] = ()
    entitlements_summary: str = "none"
    license_digest: str | None = None


class _Stop(msgspec.Struct, frozen=True):
    reason: BlockReason
    code: str
    detail: str


def check_license(
    data: bytes | LicenseFileError | None,
    *,
    keyring: Keyring | TrustError,
    facts: LicenseFacts,
    now: datetime,
    wanted: tuple[str, ...] = (),
) -> LicenseVerdict:
    """Whether the licence in ``data`` is good for ``wanted``. Whatever ``data`` holds, nothing is raised.

    Args:
        data: the bytes of the file; why they cannot be read; ``None`` where there is no licence.
        keyring: who may sign, or why that cannot be told, which stops every licence.
        facts: what is known of the place.
        now: the time of the one clock, with a zone.
        wanted: entitlements, all of which are needed.
    """
    # Step 1: there is a licence, and it can be read.
    if data is None:
        text = "there is none: give --license-path, set MODEKEEPER_LICENSE_PATH, or put modekeeper.license.json here"
        return _stopped(_Stop(BlockReason.LICENSE_MISSING, "license_not_found", text))
    if isinstance(data, LicenseFileError):
        return _stopped(_invalid(data.code, data.detail))
    # Steps 2 and 3: it is JSON without leniency, and exactly a license.v1.
    try:
        document = read_license(data)
    except LicenseDocumentError as error:
        return _stopped(_invalid(error.code, error.detail))
    # Steps 4 to 6: the key, the signature, the deny-list.
    if (stop := _key_stop(document, keyring)) or (stop := _signature_stop(document, keyring)):
        return _stopped(stop, kid=document.kid)
    # Steps 7 to 9: the time, the place, the purpose.
    stop = (
        _time_stop(document, now, facts.newest_seen) or _binding_stop(document, facts) or _wanted_stop(document, wanted)
    )
    return _of(document, stop)


def _key_stop(document: License, keyring: Keyring | TrustError) -> _Stop | None:
    """Step 4: the keyring can be used, and has the key, which is not revoked."""
    if isinstance(keyring, TrustError):
        return _invalid(keyring.code, keyring.detail)
    if document.kid in keyring.revoked_kids:
        return _invalid("kid_revoked", f"the key {document.kid!r} is revoked: ask for a licence by another one")
    if document.kid not in keyring.keys:
        has = f"has {len(keyring.keys)} others" if keyring.keys else "is empty"
        text = f"the keyring, which {has}, does not have the key {document.kid!r}: use the keyring of your vendor"
        return _invalid("kid_unknown", text)
    return None


def _signature_stop(document: License, keyring: Keyring | TrustError) -> _Stop | None:
    """Steps 5 and 6: that very key signed these very fields; and they are not revoked."""
    if isinstance(keyring, TrustError):
        return _invalid(keyring.code, keyring.detail)
    if (fault := signature_fault(document.signature)) is not None:
        return _invalid("signature_malformed", f"the signature {fault}")
    if not signature_is_valid(keyring.keys[document.kid], document.signature, document.payload):
        return _invalid(
            "signature_mismatch", f"the key {document.kid!r} did not sign what the licence says: get the file again"
        )
    if document.digest in keyring.revoked_licenses:
        return _invalid("license_revoked", f"the licence {document.digest} is revoked")
    return None


def _time_stop(document: License, now: datetime, newest_seen: datetime | None) -> _Stop | None:
    """Step 7: the clock was not set back, and the licence is from the past, and not expired."""
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_S)
    if newest_seen is not None and newest_seen - now > tolerance:
        text = f"the clock says {_iso(now)}, and {_iso(newest_seen)} has been before: set the clock"
        return _invalid("clock_set_back", text)
    if document.issued_at - now > tolerance:
        return _invalid("issued_in_the_future", f"issued at {_iso(document.issued_at)}, and the clock says {_iso(now)}")
    if document.expires_at <= max(now, newest_seen or now):
        text = (
            f"expired at {_iso(document.expires_at)}, and it is {_iso(max(now, newest_seen or now))}: ask for a new one"
        )
        return _Stop(BlockReason.LICENSE_EXPIRED, "license_expired", text)
    return None


def _binding_stop(document: License, facts: LicenseFacts) -> _Stop | None:
    """Step 8: every binding is met by a fact."""
    known = {"cluster": facts.cluster_uid, "host": facts.host, "org": facts.org}
    for name, bound in msgspec.structs.asdict(document.bindings).items():
        if bound is None:
            continue
        if known[name] is None:
            how = ": set MODEKEEPER_ORG" if name == "org" else ""
            text = f"bound to the {name} {bound!r}, and which {name} this is is not known{how}"
            return _Stop(BlockReason.BINDING_MISMATCH, f"{name}_unknown", text)
        if known[name] != bound:
            text = f"bound to the {name} {bound!r}, and this is {visible(str(known[name]), 200)!r}"
            return _Stop(BlockReason.BINDING_MISMATCH, f"{name}_mismatch", text)
    return None


def _wanted_stop(document: License, wanted: tuple[str, ...]) -> _Stop | None:
    """Step 9: everything wanted is granted, word for word."""
    missing = [word for word in wanted if word not in document.entitlements]
    if not missing:
        return None
    text = f"does not grant {visible(', '.join(missing), 200)}; it grants {_summary(document.entitlements)}"
    return _Stop(BlockReason.ENTITLEMENT_MISSING, "entitlement_missing", text)


def _invalid(code: str, detail: str) -> _Stop:
    return _Stop(BlockReason.LICENSE_INVALID, code, detail)


def _stopped(stop: _Stop, kid: str | None = None) -> LicenseVerdict:
    return LicenseVerdict(
        license_ok=False,
        reason=stop.reason.value,
        reason_code=stop.reason,
        failure_code=stop.code,
        failure_detail=stop.detail,
        kid=kid,
    )


def _of(document: License, stop: _Stop | None) -> LicenseVerdict:
    """The verdict on a licence whose signature was verified."""
    verdict = LicenseVerdict(license_ok=True, reason="license_ok") if stop is None else _stopped(stop)
    return msgspec.structs.replace(
        verdict,
        kid=document.kid,
        issuer=document.issuer,
        org=document.org,
        issued_at=document.issued_at,
        expires_at=document.expires_at,
        entitlements=document.entitlements,
        entitlements_summary=_summary(document.entitlements),
        license_digest=document.digest,
    )


def _summary(entitlements: tuple[str, ...]) -> str:
    return ", ".join(entitlements) or "none"


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
