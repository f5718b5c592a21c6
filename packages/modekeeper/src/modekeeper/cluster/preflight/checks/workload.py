"""Is the workload there, and what runs of it."""

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import blocked, noted, passed, unread
from modekeeper.cluster.preflight.counts import count_at
from modekeeper.cluster.preflight.facts import Facts, NoAnswer, Why
from modekeeper.model.json_fields import at, text_at
from modekeeper.model.wording import count
from modekeeper.policy.wording import did_you_mean

__all__ = ["namespace", "workload"]


def namespace(facts: Facts) -> PreflightCheck:
    """Whether the namespace is there."""
    name, answer = facts.subject.namespace, facts.namespace
    if not isinstance(answer, NoAnswer):
        if text_at(answer, "status", "phase") == "Terminating":
            return noted("namespace", f"namespace {name!r} is being deleted")
        return passed("namespace", f"namespace {name!r} is there")
    if answer.why is Why.MISSING:
        hint = "see 'kubectl get namespaces'; --k8s-namespace chooses"
        return blocked("namespace", "namespace_missing", f"there is no namespace {name!r}", hint)
    if not isinstance(facts.workload, NoAnswer) or (isinstance(facts.names, tuple) and facts.names):
        return passed("namespace", f"namespace {name!r} is there: it has objects")
    return unread("namespace", facts, answer)


def workload(facts: Facts) -> PreflightCheck:
    """Whether the workload is there, and how much of it is ready."""
    subject, answer = facts.subject, facts.workload
    what = f"{subject.kind.kind} {subject.name!r}"
    if not isinstance(answer, NoAnswer):
        return _there(facts, what)
    if answer.why is Why.MISSING:
        if isinstance(facts.resource, NoAnswer):
            return blocked("workload", "deployment_missing", facts.resource.detail, "--k8s-kind names another kind")
        return blocked(
            "workload", "deployment_missing", f"there is no {what} in {subject.namespace!r}", _did_you_mean(facts)
        )
    return unread("workload", facts, answer, blocker="rbac_denied" if answer.why is Why.DENIED else "unknown")


def _there(facts: Facts, what: str) -> PreflightCheck:
    found = facts.workload
    if text_at(found, "metadata", "deletionTimestamp"):
        return noted("workload", f"{what} is being deleted")
    if facts.subject.kind.kind not in _READY:
        return passed("workload", f"{what} is there")
    wanted_at, ready_at, word = _READY[facts.subject.kind.kind]
    ready = count_at(found, "status", ready_at)
    wanted = 1 if at(found, "spec", wanted_at) is None else count_at(found, "spec", wanted_at)
    detail = f"{what} is there, {ready} of {count(wanted, 'pod')} {word}"
    return passed("workload", detail) if ready else noted("workload", detail, "there is no log to read yet")


_READY = {
    "Deployment": ("replicas", "readyReplicas", "ready"),
    "StatefulSet": ("replicas", "readyReplicas", "ready"),
    "Job": ("parallelism", "active", "running"),
}
"""Where a kind says how many pods are wanted and how many are at work."""


def _did_you_mean(facts: Facts) -> str:
    names, subject = facts.names, facts.subject
    if isinstance(names, NoAnswer):
        return f"see 'kubectl get {subject.kind.plural}'; --k8s-deployment chooses"
    if not names:
        return f"there is no {subject.kind.kind} at all in {subject.namespace!r}; --k8s-kind names another kind"
    return did_you_mean(subject.name, names)
