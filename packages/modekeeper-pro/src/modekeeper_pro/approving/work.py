"""What each command of ``mk-approve`` does, without the command line. Each returns the lines a person is told."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.files import read_small_file
from modekeeper.gates.verification import LONGEST_VERIFICATION_BYTES
from modekeeper.model.decision import Plan
from modekeeper.model.errors import BadInputError
from modekeeper.planning.parse import parse_plan
from modekeeper.trust.approval import Approval, read_approval
from modekeeper.trust.check_approval import check_approval
from modekeeper.trust.faults import TrustError
from modekeeper.trust.fields import MOMENT_FORMAT
from modekeeper.trust.finding import APPROVERS_PATH_VARIABLE, find_approvers, read_approval_file
from modekeeper.trust.keyring import Keyring
from modekeeper.trust.passphrase import Passphrase
from modekeeper.trust.private_key_file import read_private_key_file, write_private_key_file
from modekeeper_pro.approving.reading import PlanToApprove, read_plan_to_approve, summary
from modekeeper_pro.approving.signing import Terms, public_keyring, signed_approval

__all__ = ["inspect", "known_approvers", "make_key", "plan_to_approve", "public_half", "sign", "summary", "terms"]

Lines = list[str]


def make_key(place: Path, kid: str, passphrase: Passphrase, public: Path | None) -> Lines:
    """Make a key; its private half is written encrypted, its public half is told.

    Raises:
        BadInputError: ``kid`` is no name of a key, or there is a file of that name.
        FailedError: the disk did not take it.
    """
    key = Ed25519PrivateKey.generate()
    ring = public_keyring(kid, key)
    write_private_key_file(place, key, passphrase)
    return [f"private key: {place}, encrypted; keep it, and give it to nobody", *_told_public(ring, public)]


def public_half(place: Path, kid: str, passphrase: Passphrase, public: Path | None) -> Lines:
    """The public half of a key that is there.

    Raises:
        BadInputError: ``kid`` is no name of a key, or the key cannot be opened.
        FailedError: the disk did not take it.
    """
    key = read_private_key_file(place, passphrase, f"the private key {place.name!r}")
    return _told_public(public_keyring(kid, key), public)


def _told_public(ring: bytes, public: Path | None) -> Lines:
    lines: Lines = []
    if public is not None:
        FolderStore(public.parent).write_bytes(public.name, ring)
        lines.append(f"public key, as a keyring of one: {public}")
    return [*lines, "for the approvers' keyring:", ring.decode().strip()]


def plan_to_approve(plan: str, verification: str | None, now: datetime) -> PlanToApprove:
    """The plan, and its verification where a file of one is named.

    Raises:
        BadInputError: a file cannot be read, or is not what it should be.
    """
    seen = (
        read_small_file(verification, "a verification", LONGEST_VERIFICATION_BYTES)
        if verification is not None
        else None
    )
    return read_plan_to_approve(read_small_file(plan, "a plan"), seen, now)


def known_approvers(option: str | None, environment: Mapping[str, str]) -> Keyring | None:
    """The approvers' keyring; ``None``: none is named.

    Raises:
        TrustError: one is named, and cannot be used.
    """
    if option is None and not environment.get(APPROVERS_PATH_VARIABLE):
        return None
    found = find_approvers(option, environment)
    if isinstance(found, TrustError):
        raise found
    return found


def terms(
    plan: Plan,
    *,
    cluster_uid: str | None,
    approver: str,
    kid: str,
    reason: str | None,
    now: datetime,
    hours: int,
) -> Terms:
    """What is signed; times in whole seconds."""
    begins = now.replace(microsecond=0)
    return Terms(
        plan_digest=plan.digest,
        cluster_uid=cluster_uid,
        approver=approver,
        kid=kid,
        approved_at=begins,
        expires_at=begins + timedelta(hours=hours),
        reason=reason,
    )


def sign(said: Terms, place: Path, passphrase: Passphrase, approvers: Keyring | None, out: Path) -> Lines:
    """Sign, once it is sure that it will count, and write the file.

    Raises:
        BadInputError: the key cannot be opened, or what it signs would not count.
        FailedError: the disk did not take it.
    """
    key = read_private_key_file(place, passphrase, f"the private key {place.name!r}")
    data, made = signed_approval(said, key)
    ring = approvers if approvers is not None else Keyring(keys={said.kid: key.public_key().public_bytes_raw()})
    verdict = check_approval(
        data, approvers=ring, plan_digest=said.plan_digest, cluster_uid=said.cluster_uid, now=said.approved_at
    )
    if not verdict.approved:
        raise BadInputError(
            f"it would not count: {verdict.failure_detail} [{verdict.failure_code}]. Nothing was signed"
        )
    FolderStore(out.parent).write_bytes(out.name, data)
    return [f"approval: {out}", f"signed by {made.kid}, until {_iso(made.expires_at)}", f"digest: {made.digest}"]


def inspect(
    file: str, plan: str | None, cluster_uid: str | None, approvers: Keyring | None, now: datetime
) -> tuple[Lines, bool]:
    """What an approval says, and whether anything that was asked stands against it.

    Raises:
        BadInputError: it is no approval, or a file cannot be read.
    """
    data = read_approval_file(file)
    made = read_approval(data)
    digest = parse_plan(read_small_file(plan, "a plan")).digest if plan is not None else made.plan_digest
    lines = _told(made)
    if approvers is None:
        lines.append("the signature was not verified: give --approvers")
        return (
            ([*lines, f"not good: it is not of the plan {digest}"], False)
            if digest != made.plan_digest
            else (lines, True)
        )
    verdict = check_approval(
        data,
        approvers=approvers,
        plan_digest=digest,
        cluster_uid=cluster_uid if cluster_uid is not None else made.cluster_uid,
        now=now,
    )
    if verdict.approved:
        of = "this plan" if plan is not None else "the plan it names; give --plan to compare"
        return [*lines, f"good: signed by {made.kid}, for {of}"], True
    return [*lines, f"not good: {verdict.failure_detail} [{verdict.failure_code}]"], False


def _told(made: Approval) -> Lines:
    return [
        f"approval of the plan {made.plan_digest}",
        f"by {made.approver}, key {made.kid}",
        f"from {_iso(made.approved_at)} until {_iso(made.expires_at)}",
        f"for the cluster {made.cluster_uid}"
        if made.cluster_uid is not None
        else "for whichever cluster it is used on",
        *([f"reason: {made.reason}"] if made.reason is not None else []),
        f"digest: {made.digest}",
    ]


def _iso(moment: datetime) -> str:
    return moment.strftime(MOMENT_FORMAT)
