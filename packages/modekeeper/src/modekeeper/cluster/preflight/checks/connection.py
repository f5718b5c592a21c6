"""Can the cluster be asked at all, and as whom."""

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import blocked, noted, passed, untold
from modekeeper.cluster.preflight.facts import Facts, NoAnswer, Why
from modekeeper.policy.wording import shown

__all__ = ["context", "login", "reachable"]

_AWAY = (Why.UNREACHABLE, Why.BAD_CONFIG, Why.NOT_ASKED)
_SAID_TO_SOMEBODY = (Why.DENIED, Why.MISSING)
_ANONYMOUS = "system:anonymous"


def context(facts: Facts) -> PreflightCheck:
    """Which cluster and which user the kubeconfig means."""
    where = facts.context
    if where is None:
        why = facts.version.detail if isinstance(facts.version, NoAnswer) else "not known"
        return blocked(
            "context", "client_unavailable", why, "see 'kubectl config get-contexts'; --kubeconfig and --context choose"
        )
    name = f"context {shown(where.name, 253)}" if where.name else "in the cluster"
    user = f" as {shown(where.user, 253)}" if where.user else ""
    return passed("context", f"{name}, {shown(where.server, 253)}{user}")


def reachable(facts: Facts) -> PreflightCheck:
    """Whether the API server answers, and its version."""
    if not isinstance(facts.version, NoAnswer):
        return passed("reachable", f"Kubernetes {shown(facts.version.git_version)}")
    away = next((a for a in facts.answers if isinstance(a, NoAnswer) and a.why in _AWAY[:2]), facts.version)
    if all(isinstance(a, NoAnswer) and a.why in _AWAY for a in facts.answers):
        return blocked("reachable", "client_unavailable", away.detail, "is the address right, and the network open?")
    return untold("reachable", f"it answers, but not with its version: {facts.version.detail}")


def login(facts: Facts) -> PreflightCheck:
    """Whether the API server knows who we are."""
    refused = [a for a in facts.answers if isinstance(a, NoAnswer) and a.why is Why.UNAUTHENTICATED]
    if refused:
        hint = "log in again: the credentials of the kubeconfig are unknown there, or expired"
        return blocked("login", "client_unavailable", refused[0].detail, hint)
    if facts.identity == _ANONYMOUS:
        return noted(
            "login", "the API server takes us for nobody (system:anonymous)", "the kubeconfig has no credentials"
        )
    # What it says of itself it says to everybody.
    asked = [a for a in facts.answers if a is not facts.version]
    if all(isinstance(a, NoAnswer) and a.why not in _SAID_TO_SOMEBODY for a in asked):
        return untold("login", "nothing was answered that only somebody known is told")
    return passed("login", f"known as {shown(facts.identity, 253)}" if facts.identity else "the API server knows us")
