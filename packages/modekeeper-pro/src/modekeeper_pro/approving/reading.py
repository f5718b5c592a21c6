"""What a second person is shown before signing: the plan, item by item, and what its verification found."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport, VerifyItem
from modekeeper.gates.verification import judge_verification, read_verification
from modekeeper.model.decision import Actuation, Plan, PlanItem
from modekeeper.model.errors import BadInputError
from modekeeper.model.untrusted import visible
from modekeeper.planning.parse import parse_plan
from modekeeper.planning.plan import KNOB_ANNOTATION

__all__ = ["PlanToApprove", "read_plan_to_approve", "summary"]

_EFFECT = {
    Actuation.HOT: "hot: annotations of the live pods, no restart",
    Actuation.COLD: "cold: the pod template, the pods restart",
}


class PlanToApprove(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that parses, and its verification where one was given."""

    plan: Plan
    verification: K8sVerifyReport | None

    @property
    def cluster_uid(self) -> str | None:
        """Of the cluster it was verified on; ``None``: not known."""
        cluster = self.verification.cluster if self.verification is not None else None
        return cluster.uid if cluster is not None else None


def read_plan_to_approve(plan: bytes, verification: bytes | None, now: datetime) -> PlanToApprove:
    """The plan in ``plan``, with its verification.

    Raises:
        BadInputError: it is no plan, it has nothing in it, or the verification does not stand for it.
    """
    parsed = parse_plan(plan)
    if not parsed.items:
        raise BadInputError("the plan has no items: there is nothing to approve")
    if verification is None:
        return PlanToApprove(plan=parsed, verification=None)
    found = read_verification(verification)
    for verdict in judge_verification(found, parsed.digest, now):
        if not verdict.passed:
            raise BadInputError(f"the verification does not stand for this plan: {verdict.detail}")
    if not isinstance(found, K8sVerifyReport) or [*map(_which, found.items)] != [*map(_which, parsed.items)]:
        raise BadInputError("the verification is not of the items of this plan")
    return PlanToApprove(plan=parsed, verification=found)


def _which(item: PlanItem | VerifyItem) -> tuple[str, str, str, Actuation]:
    return item.namespace, item.kind, item.name, item.actuation


def summary(found: PlanToApprove) -> Iterator[str]:
    """A line for the plan, then two or more for each item, then what is known of the cluster."""
    plan, seen = found.plan, found.verification
    yield f"plan {plan.digest}: {len(plan.items)} {'item' if len(plan.items) == 1 else 'items'}"
    for number, item in enumerate(plan.items):
        yield from _item(number + 1, item, seen.items[number] if seen is not None else None)
    if seen is None:
        yield "not verified here: give --verify-report to see what it would do, and to bind the approval to the cluster"
    else:
        yield f"verified: good until {visible(seen.verification_expires_at, 40)}"


def _item(number: int, item: PlanItem, seen: VerifyItem | None) -> Iterator[str]:
    yield f"{number}. {item.kind} {item.namespace}/{item.name}, chord {item.chord_id}"
    yield f"   {_EFFECT.get(item.actuation, item.actuation.value)}"
    for knob, value in sorted(item.knobs.items()):
        now = seen.live_values.get(f"{KNOB_ANNOTATION}{knob}") if seen is not None else None
        yield f"   {knob} = {value}" + (f" (now {visible(now, 60)})" if now is not None else "")
    if seen is not None:
        yield f"   predicted: {seen.effect.effect.value}: {visible(seen.effect.detail, 300)}"
