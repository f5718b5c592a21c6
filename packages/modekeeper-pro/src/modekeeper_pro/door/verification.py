"""A verification report from outside: hostile until every byte of it is accounted for. Evidence, never permission."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.artifacts.canonical import canonical_digest, plain
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.times import parse_iso
from modekeeper.model.errors import BadInputError
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_VERIFICATION_BYTES", "Verification", "parse_verification"]

LONGEST_VERIFICATION_BYTES = 32 * 2**20
_LONGEST_VALID = timedelta(days=1)
_AGAIN = "verify the plan again with 'mk verify'"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """A report that fits its digest, with its times read."""

    report: K8sVerifyReport
    verified_at: datetime
    expires_at: datetime


def parse_verification(data: bytes) -> Verification:
    """The report in ``data``, sure to have nothing that its digest does not cover.

    Raises:
        BadInputError: it is no such report, or not the one its digest was made from; one line.
    """
    found, faults = read_strict(data, longest=LONGEST_VERIFICATION_BYTES)
    if faults:
        raise BadInputError(f"the verification cannot be read: {faults[0].path}: {faults[0].message}; {_AGAIN}")
    try:
        report = msgspec.convert(found, K8sVerifyReport, strict=True)
    except msgspec.ValidationError as error:
        raise BadInputError(f"the verification has the wrong shape: {shown(str(error), 160)}; {_AGAIN}") from None
    fields = plain(report)
    if fields != found:
        raise BadInputError(f"the verification holds more or less than a report of this release; {_AGAIN}")
    del fields["verification_digest"]
    if report.verification_digest != canonical_digest(fields):
        raise BadInputError(f"the verification is not the one its digest was made from: it was changed; {_AGAIN}")
    if report.checks.items != report.items:
        raise BadInputError(f"the verification says two things about the items of the plan; {_AGAIN}")
    try:
        verified_at, expires_at = parse_iso(report.verified_at), parse_iso(report.verification_expires_at)
    except ValueError:
        raise BadInputError(f"the verification does not say how long it is good for; {_AGAIN}") from None
    if not timedelta() < expires_at - verified_at <= _LONGEST_VALID:
        raise BadInputError(f"the verification is good for no time, or for more than a day; {_AGAIN}")
    return Verification(report=report, verified_at=verified_at, expires_at=expires_at)
