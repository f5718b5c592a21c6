"""What a patch of the pod template would do, by kind: see docs/VERIFY.md for where each row is from."""

from collections.abc import Callable

from modekeeper.artifacts.contracts.k8s_verify import Effect, EffectPart
from modekeeper.cluster.verify.workloads import reaches_a_template
from modekeeper.model.cluster import JsonObject
from modekeeper.model.json_fields import at, flag_at, items_at, labels_of, mapping_at, said, text_at, whole_at

__all__ = ["cold_effect", "misses_template", "queue_of"]

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def cold_effect(kind: str, found: JsonObject, patch: JsonObject) -> EffectPart:
    """What a patch of the template of ``found`` would do to its pods, where nobody puts it back."""
    effect = _KINDS[kind](found)
    if effect.effect is Effect.RESTART and not reaches_a_template(kind, found, patch):
        return misses_template(kind)
    return effect


def misses_template(kind: str) -> EffectPart:
    """Of a patch that writes where no pod comes from."""
    detail = f"the pods of a {kind} are not made from the place this patch writes to: change its template by hand"
    return _part(Effect.INERT, "patch_misses_template", detail)


def queue_of(found: JsonObject) -> str | None:
    """The Kueue queue the object waits in."""
    return labels_of(found).get(_QUEUE_LABEL)


def _part(effect: Effect, reason: str, detail: str) -> EffectPart:
    return EffectPart(effect=effect, reason=reason, detail=detail)


def _deployment(found: JsonObject) -> EffectPart:
    if flag_at(found, "spec", "paused"):
        return _part(Effect.INERT, "rollout_paused", "its rollouts are paused: nothing restarts until it is resumed")
    if whole_at(found, "spec", "replicas") == 0:
        return _scaled_to_zero()
    if text_at(found, "spec", "strategy", "type") == "Recreate":
        return _part(Effect.RESTART, "recreate", "all pods end, then new ones with the new values start")
    return _part(Effect.RESTART, "rolling_update", "its pods are replaced a few at a time by pods with the new values")


def _stateful_set(found: JsonObject) -> EffectPart:
    replicas = whole_at(found, "spec", "replicas")
    replicas = 1 if replicas is None else replicas
    if replicas == 0:
        return _scaled_to_zero()
    if text_at(found, "spec", "updateStrategy", "type") == "OnDelete":
        return _part(
            Effect.INERT, "on_delete", "its update strategy is OnDelete: pods stay until somebody deletes them"
        )
    partition = whole_at(found, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    if partition >= replicas:
        return _part(
            Effect.INERT, "partition", f"its partition {partition} holds back all {replicas} pods: none restarts"
        )
    if partition > 0:
        return _part(
            Effect.UNKNOWN,
            "partial_rollout",
            f"its partition {partition} holds back {partition} of {replicas} pods: ranks would differ",
        )
    return _part(Effect.RESTART, "rolling_update", "its pods restart one by one, the highest number first")


def _job(found: JsonObject) -> EffectPart:
    if _is_suspended(found):
        return _not_started(found, "Job")
    if any(text_at(c, "type") in ("Complete", "Failed") and text_at(c, "status") == "True" for c in _conditions(found)):
        return _part(Effect.REJECTED, "template_immutable", "the Job is over, and its template cannot be changed")
    return _immutable("Job")


def _job_set(found: JsonObject) -> EffectPart:
    return _not_started(found, "JobSet") if flag_at(found, "spec", "suspend") else _immutable("JobSet")


def _leader_worker_set(found: JsonObject) -> EffectPart:
    if whole_at(found, "spec", "replicas") == 0:
        return _scaled_to_zero()
    if whole_at(found, "spec", "rolloutStrategy", "rollingUpdateConfiguration", "partition"):
        return _part(Effect.UNKNOWN, "partial_rollout", "its partition holds back some groups: they would differ")
    if mapping_at(found, "spec", "leaderWorkerTemplate", "leaderTemplate"):
        return _part(
            Effect.UNKNOWN,
            "leader_template",
            "its leaders come from a template of their own, which the patch leaves alone: ranks would differ",
        )
    return _part(Effect.RESTART, "group_restart", "its groups restart, each as a whole")


def _pytorch_job(found: JsonObject) -> EffectPart:
    if flag_at(found, "spec", "runPolicy", "suspend"):
        return _not_started(found, "PyTorchJob")
    return _running_pods_stay("PyTorchJob", "a pod that is replaced later gets them, and ranks differ")


def _train_job(found: JsonObject) -> EffectPart:
    return _not_started(found, "TrainJob") if flag_at(found, "spec", "suspend") else _immutable("TrainJob")


def _ray_cluster(found: JsonObject) -> EffectPart:
    strategy = text_at(found, "spec", "upgradeStrategy", "type")
    if strategy not in (None, "None"):
        return _part(
            Effect.UNKNOWN,
            "upgrade_strategy",
            f"its upgrade strategy is {said(strategy)}, and what that does with a new template is not known here",
        )
    return _running_pods_stay("RayCluster", "a worker that is added later gets them, and workers differ")


def _ray_job(found: JsonObject) -> EffectPart:
    if flag_at(found, "spec", "suspend"):
        return _not_started(found, "RayJob")
    return _running_pods_stay("RayJob", "its RayCluster was made when it began")


def _volcano_job(_found: JsonObject) -> EffectPart:
    return _immutable("Volcano Job")


def _is_suspended(job: JsonObject) -> bool:
    """Whether the template can still be changed: suspended, and not begun."""
    return flag_at(job, "spec", "suspend") and at(job, "status", "startTime") is None


def _conditions(found: JsonObject) -> list[JsonObject]:
    return list(items_at(found, "status", "conditions"))


def _scaled_to_zero() -> EffectPart:
    return _part(Effect.INERT, "scaled_to_zero", "it has no pods: those made later get the new values")


def _not_started(found: JsonObject, kind: str) -> EffectPart:
    queue = queue_of(found)
    held = f" by the Kueue queue {said(queue)}" if queue else ""
    return _part(
        Effect.INERT,
        "suspended",
        f"the {kind} is suspended{held}: its pods get the values when it starts",
    )


def _immutable(kind: str) -> EffectPart:
    return _part(Effect.REJECTED, "template_immutable", f"the template of a running {kind} cannot be changed")


def _running_pods_stay(kind: str, later: str) -> EffectPart:
    return _part(
        Effect.INERT, "running_pods_untouched", f"a running {kind} does not give its pods the new values; {later}"
    )


_KINDS: dict[str, Callable[[JsonObject], EffectPart]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "JobSet": _job_set,
    "LeaderWorkerSet": _leader_worker_set,
    "PyTorchJob": _pytorch_job,
    "TrainJob": _train_job,
    "RayCluster": _ray_cluster,
    "RayJob": _ray_job,
    "VolcanoJob": _volcano_job,
}
