"""What a verification on file is worth for a plan. It is evidence, never permission; whoever applies asks again."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.times import parse_iso
from modekeeper.model.decision import BlockReason, Verdict
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_VERIFICATION_BYTES", "judge_verification", "read_verification"]

LONGEST_VERIFICATION_BYTES = 32 * 1024 * 1024
GATE = "verify"


def read_verification(data: bytes) -> K8sVerifyReport | str:
    """The verification in ``data``, hostile until then; or in one line why it is none."""
    found, faults = read_strict(data, longest=LONGEST_VERIFICATION_BYTES)
    if faults:
        return f"it cannot be read: {faults[0].path}: {faults[0].message}"
    try:
        report = msgspec.convert(found, K8sVerifyReport, strict=True)
    except msgspec.ValidationError as error:
        return f"it has the wrong shape: {shown(str(error), 160)}"
    # Over the document itself: a field that we do not know counts too.
    if report.verification_digest != _digest(found):
        return "it is not what its digest was made from: it was changed"
    return report


def judge_verification(
    found: K8sVerifyReport | str | None, plan_digest: str | None, now: datetime
) -> tuple[Verdict, ...]:
    """Every reason against it, or one verdict that it passes.

    Args:
        found: the verification, why it is none, or ``None`` where there is none.
        plan_digest: of the plan that is to be applied; ``None`` where that is no plan.
        now: the wall time.
    """
    if found is None:
        return (_stop(BlockReason.VERIFY_MISSING, "no verification of this plan was given or found"),)
    if isinstance(found, str):
        return (_stop(BlockReason.VERIFY_FAILED, found),)
    stops: list[Verdict] = []
    if found.ok is not True or found.verify_blocker is not None:
        blocker = found.verify_blocker
        why = f": {blocker.kind}: {shown(blocker.detail, 160)}" if blocker is not None else ""
        stops.append(_stop(BlockReason.VERIFY_FAILED, f"the verification of this plan failed{why}"))
    if plan_digest is None or found.plan_digest != plan_digest:
        stops.append(_stop(BlockReason.VERIFY_PLAN_MISMATCH, "it is the verification of another plan"))
    if (why_old := _expired(found, now)) is not None:
        stops.append(_stop(BlockReason.VERIFY_EXPIRED, why_old))
    return tuple(stops) or (Verdict(gate=GATE, passed=True, detail=f"good until {found.verification_expires_at}"),)


def _expired(found: K8sVerifyReport, now: datetime) -> str | None:
    try:
        begins, ends = parse_iso(found.verified_at), parse_iso(found.verification_expires_at)
    except (ValueError, OverflowError):
        return "it does not say how long it is good for"
    if now >= ends:
        return f"it was good until {shown(found.verification_expires_at)}: verify again"
    if now < begins:
        return f"it is of {shown(found.verified_at)}, and the clock says {now.astimezone(UTC).isoformat()}"
    return None


def _digest(found: dict[str, Any]) -> str:
    return canonical_digest({key: value for key, value in found.items() if key != "verification_digest"})


def _stop(reason: BlockReason, detail: str) -> Verdict:
    return Verdict(gate=GATE, passed=False, reason=reason, detail=detail)
