"""Can the pods be read and be told new values: telemetry on standard output, the container, the annotations file."""

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.preflight.checks.verdicts import blocked, noted, passed, untold
from modekeeper.cluster.preflight.facts import Facts, NoAnswer
from modekeeper.cluster.preflight.pod_templates import PodTemplate, annotation_mounts, containers, pod_templates
from modekeeper.model.json_fields import text_at, texts_at
from modekeeper.policy.wording import listed, shown

__all__ = ["annotations_file", "chosen_container", "log_container", "telemetry_annotation"]

ANNOTATION = "modekeeper/telemetry"
STDOUT_JSON = "stdout-jsonl"
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def annotations_file(facts: Facts) -> PreflightCheck:
    """Whether a running pod can see new values: the way of hot changes."""
    name = "annotations_file"
    templates = _templates(facts)
    if not templates:
        return untold(name, _untold(facts))
    live = [mount for t in templates for mount in annotation_mounts(t) if mount.live]
    lacking = [t.role for t in templates if not any(mount.live for mount in annotation_mounts(t))]
    hint = "mount a Downward API volume of metadata.annotations without subPath: see docs/PREFLIGHT.md"
    if not lacking:
        return passed(
            name, f"{shown(live[0].path, 253)} in container {shown(live[0].container)!r}: hot changes can reach it"
        )
    frozen = [mount for t in templates for mount in annotation_mounts(t) if not mount.live]
    if frozen:
        where = f"{shown(frozen[0].path, 253)} in container {shown(frozen[0].container)!r}"
        return noted(name, f"{where} is mounted by subPath, which new values never reach: no hot changes", hint)
    whose = f" in the pods of {listed(lacking)}" if any(lacking) else ""
    return noted(name, f"no file with the pod's annotations{whose}: no hot changes", hint)


def telemetry_annotation(facts: Facts) -> PreflightCheck:
    """Whether the pods say how they write telemetry."""
    name = "telemetry_annotation"
    templates = _templates(facts)
    if not templates:
        return untold(name, _untold(facts))
    of_all = texts_at(facts.workload, "metadata", "annotations").get(ANNOTATION)
    said = [template.annotations.get(ANNOTATION) or of_all for template in templates]
    wanted = f"{ANNOTATION}={STDOUT_JSON}"
    if all(value == STDOUT_JSON for value in said):
        return passed(name, f"{wanted}: each line of the log is one record")
    other = next((value for value in said if value not in (None, STDOUT_JSON)), None)
    hint = f"a pod template with {wanted} has its lines read strictly; else records are searched for in every line"
    if other is not None:
        return noted(name, f"{ANNOTATION} is {shown(other)!r}, which means nothing here", hint)
    whose = [t.role for t, value in zip(templates, said, strict=True) if value is None]
    where = f" on the pods of {listed(whose)}" if any(whose) else ""
    return noted(name, f"no {ANNOTATION} annotation{where}", hint)


def log_container(facts: Facts) -> PreflightCheck:
    """Whose log is read."""
    name = "container"
    templates = _templates(facts)
    wanted = facts.subject.container
    if not templates:
        return untold(name, _untold(facts))
    known = _names(templates)
    if wanted is not None:
        if wanted in known:
            return passed(name, f"container {wanted!r}")
        hint = f"--container names one of: {listed(known, 10)}"
        return blocked(name, "container_missing", f"there is no container {shown(wanted)!r} in the pods", hint)
    chosen = chosen_container(facts)
    if chosen is not None:
        return passed(name, f"container {shown(chosen)!r}")
    return noted(name, f"the pods have several containers: {listed(known, 10)}", "choose with --container")


def chosen_container(facts: Facts) -> str | None:
    """The container somebody named, else the same one of every template; ``None`` where that is open."""
    templates = _templates(facts)
    if facts.subject.container is not None:
        return facts.subject.container if facts.subject.container in _names(templates) else None
    chosen = {_chosen(template, facts.sidecars) for template in templates}
    return next(iter(chosen)) if len(chosen) == 1 else None


def _chosen(template: PodTemplate, sidecars: frozenset[str]) -> str | None:
    """As ``mk observe`` chooses in a pod: its default, else the only one, else the only one that may train."""
    names = _names((template,))
    default = template.annotations.get(_DEFAULT_CONTAINER)
    if default in names:
        return default
    candidates = names if len(names) == 1 else [name for name in names if name not in sidecars]
    return candidates[0] if len(candidates) == 1 else None


def _templates(facts: Facts) -> tuple[PodTemplate, ...]:
    return () if isinstance(facts.workload, NoAnswer) else pod_templates(facts.subject.kind.kind, facts.workload)


def _names(templates: tuple[PodTemplate, ...]) -> list[str]:
    """Names of containers, each once, in the object's order."""
    names = (text_at(container, "name") for template in templates for container in containers(template))
    return list(dict.fromkeys(name for name in names if name))


def _untold(facts: Facts) -> str:
    if isinstance(facts.workload, NoAnswer):
        return "the workload could not be read"
    return f"a {facts.subject.kind.kind} has no pod template of its own"
