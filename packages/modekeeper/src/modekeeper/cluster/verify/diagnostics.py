"""What else a person wants to know of a cluster that said no. Best effort: what is missing comes with its reason."""

from typing import NamedTuple

from modekeeper.artifacts.contracts.k8s_verify import VerifyDiagnostics
from modekeeper.cluster.kubectl_version import KubectlVersion
from modekeeper.cluster.verify.facts import Facts
from modekeeper.cluster.verify.rights import ask_kind
from modekeeper.model.untrusted import visible
from modekeeper.model.workload import find_workload_kind

__all__ = ["DiagnosticFailure", "diagnose"]

_NOT_FOUND = 404


class DiagnosticFailure(NamedTuple):
    """Why one diagnostic is ``null``: the payload of ``k8s_verify_diagnostic``."""

    name: str
    error: str
    rc: int | None = None
    stderr: str | None = None
    detail: str | None = None

    def payload(self) -> dict[str, str | int]:
        """Without what is not there; ``name`` and ``error`` always are."""
        return {key: value for key, value in self._asdict().items() if value is not None}


def diagnose(facts: Facts, kubectl: KubectlVersion) -> tuple[VerifyDiagnostics, tuple[DiagnosticFailure, ...]]:
    """The diagnostics, and why those that are ``null`` are."""
    failures: list[DiagnosticFailure] = []
    if kubectl.error is not None:
        failures.append(DiagnosticFailure("kubectl_version", kubectl.error, kubectl.rc, kubectl.stderr))
    if facts.version.value is None:
        failures.append(DiagnosticFailure("server_version", "not_answered", detail=visible(str(facts.version.error))))
    if facts.identity is not None and facts.identity.value is None:
        failures.append(DiagnosticFailure("cluster_uid", "not_answered", detail=visible(str(facts.identity.error))))
    rights = {verb: _by_namespace(facts, verb, failures) for verb in ("get", "patch")}
    names = sorted({item.item.namespace for item in facts.items})
    single: dict[str, bool | None] = {}
    for verb, answers in rights.items():
        single[verb] = answers.get(names[0]) if len(names) == 1 else None
        if len(names) != 1:
            detail = "the plan is empty" if not names else f"the plan names {len(names)} namespaces, see the map"
            failures.append(DiagnosticFailure(_name(verb), "namespace_unavailable", detail=detail))
    diagnostics = VerifyDiagnostics(
        kubectl_version=kubectl.version,
        server_version=visible(facts.version.value.git_version, 64) if facts.version.value is not None else None,
        auth_can_i_get_deployments=single["get"],
        auth_can_i_patch_deployments=single["patch"],
        auth_can_i_get_deployments_by_namespace=rights["get"],
        auth_can_i_patch_deployments_by_namespace=rights["patch"],
    )
    return diagnostics, tuple(failures)


def _name(verb: str) -> str:
    return f"auth_can_i_{verb}_deployments"


def _by_namespace(facts: Facts, verb: str, failures: list[DiagnosticFailure]) -> dict[str, bool | None]:
    """The answer for each namespace in which a Deployment is to be changed; of a missing one nothing can be said."""
    deployment = find_workload_kind("Deployment")
    answers: dict[str, bool | None] = {}
    if deployment is None:
        return answers
    for namespace in sorted({item.item.namespace for item in facts.items if item.item.kind == deployment.kind}):
        told, place = (
            facts.rights.get(ask_kind(verb, deployment.resource(), namespace)),
            facts.namespaces.get(namespace),
        )
        missing = place is not None and place.status == _NOT_FOUND
        answers[namespace] = None if missing or told is None or told.value is None else told.value.allowed
        if answers[namespace] is None:
            error = "namespace_missing" if missing else "not_answered"
            why = f"namespace {namespace}" + (f": {visible(str(told.error))}" if told and told.error else "")
            failures.append(DiagnosticFailure(_name(verb), error, detail=why))
    return answers
