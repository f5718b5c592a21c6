"""The folder of one check of a licence."""

from datetime import datetime

from modekeeper.artifacts.contracts.license_verify import LicenseVerifyReport, PlacePart
from modekeeper.artifacts.explain import ExplainLog
from modekeeper.artifacts.store import FolderStore
from modekeeper.artifacts.times import iso_utc
from modekeeper.ports.clock import Clock
from modekeeper.reports.folder.publishing import path_in, publish_json, times
from modekeeper.trust.on_machine import LicenseCheck

__all__ = ["write_license_folder"]


def write_license_folder(
    store: FolderStore, check: LicenseCheck, clock: Clock, *, started: datetime, wanted: tuple[str, ...]
) -> LicenseVerifyReport:
    """Write ``license_verify_latest.json`` and ``explain.jsonl``."""
    verdict, found, ring, facts = check.verdict, check.found, check.ring, check.facts
    explain = ExplainLog(clock)
    explain.add(
        "license_checked",
        license_ok=verdict.license_ok,
        reason_code=verdict.reason_code,
        failure_code=verdict.failure_code,
        license=found.path,
        keyring=ring.path,
        wanted=wanted,
    )
    store.write_bytes("explain.jsonl", explain.data())
    finished = clock.now()
    expires_at = _iso(verdict.expires_at)
    report = LicenseVerifyReport(
        **times(started, finished),
        license_ok=verdict.license_ok,
        reason=verdict.reason,
        reason_code=verdict.reason_code,
        failure_code=verdict.failure_code,
        failure_detail=verdict.failure_detail,
        kid=verdict.kid,
        issuer=verdict.issuer,
        org=verdict.org,
        issued_at=_iso(verdict.issued_at),
        expiry=expires_at,
        expires_at=expires_at,
        entitlements=verdict.entitlements,
        entitlements_summary=verdict.entitlements_summary,
        license_digest=verdict.license_digest,
        wanted=wanted,
        license_source=found.source,
        license_path=found.path,
        keyring_source=ring.source,
        keyring_path=ring.path,
        keyset_path=ring.keyset_path,
        keyset_version=ring.keyset_version,
        place=PlacePart(cluster_uid=facts.cluster_uid, host=facts.host, org=facts.org),
        notes=check.notes,
        explain_path=path_in(store, "explain.jsonl"),
    )
    publish_json(store, "license_verify", report, finished)
    return report


def _iso(when: datetime | None) -> str | None:
    return None if when is None else iso_utc(when)
