"""Each check says what is there, what is not, and what could not be read: every state of every one."""

from typing import Any

import msgspec
import pytest
from tests.cluster.preflight.clusters import (
    DAEMON_SETS,
    DEPLOYMENTS,
    EVERYTHING_ASKED,
    HPAS,
    NAMESPACE,
    NODES,
    OBSERVE,
    PLUGIN,
    SURROUNDINGS,
    TEMPLATE,
    VERIFY,
    VPAS,
    facts_of,
    ready,
    statuses,
    subject,
    trainer,
)

from modekeeper.artifacts.contracts.preflight import PreflightCheck
from modekeeper.cluster.memory import NAMESPACES, MemoryCluster, Rule
from modekeeper.cluster.preflight.checklist import check_all, top_blocker
from modekeeper.cluster.preflight.checks.gpu import (
    device_plugin_present,
    gpu_allocatable,
    gpu_capacity_present,
    gpu_requested,
)
from modekeeper.cluster.preflight.checks.telemetry import chosen_container
from modekeeper.cluster.preflight.facts import Subject
from modekeeper.cluster.preflight.gather import MOST_NODES, gather
from modekeeper.model.cluster import ClusterUnreachableError
from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.pods.selection import SIDECARS, choose_container


def check(name: str, cluster: MemoryCluster, about: Subject | None = None) -> PreflightCheck:
    return next(found for found in check_all(facts_of(cluster, about)) if found.name == name)


def with_trainer(**changes: Any) -> MemoryCluster:
    cluster = ready()
    cluster.put(DEPLOYMENTS, trainer(**changes))
    return cluster


def rules_without(verb: str, resource: str) -> tuple[Rule, ...]:
    """All rules but the one verb of the one resource."""
    return tuple(
        Rule(
            verbs=tuple(v for v in rule.verbs if resource not in rule.resources or v != verb),
            groups=rule.groups,
            resources=rule.resources,
            namespaces=rule.namespaces,
        )
        for rule in EVERYTHING_ASKED
    )


def test_a_cluster_where_everything_is_there_passes_every_check() -> None:
    facts = facts_of(ready())
    assert set(statuses(facts).values()) == {"pass"}
    assert top_blocker(check_all(facts)) is None


def test_no_checks_at_all_are_no_pass() -> None:
    assert top_blocker(()) == "unknown"


# The connection.


def test_a_cluster_that_is_away_is_told_after_one_deadline() -> None:
    cluster = ready()
    for method in ("server_version", "get", "list", "can_i", "served_versions"):
        cluster.fail(
            method, ClusterUnreachableError("no answer from https://memory.invalid:6443 within 10 s"), times=None
        )
    for threads in (1, 2, 4, 20):
        cluster.asked.clear()
        facts = gather(cluster, subject(), threads=threads)
        assert len(cluster.asked) <= threads
        assert top_blocker(check_all(facts)) == "client_unavailable"
    found = {each.name: each for each in check_all(facts)}
    assert (found["reachable"].status, found["reachable"].blocker) == ("fail", "client_unavailable")
    assert "no answer from" in found["reachable"].detail
    assert found["context"].status == "pass"
    assert {each.status for name, each in found.items() if name not in {"reachable", "context"}} == {"unknown"}
    assert top_blocker(tuple(found.values())) == "client_unavailable"


def test_a_connection_that_breaks_later_takes_only_its_own_answer_along() -> None:
    cluster = ready()
    cluster.fail("list", ClusterUnreachableError("broken off"), when=lambda about: about == NODES)
    found = {each.name: each for each in check_all(facts_of(cluster))}
    assert found["gpu_capacity"].status == "unknown"
    assert "broken off" in found["gpu_capacity"].detail
    assert {each.status for name, each in found.items() if name != "gpu_capacity"} == {"pass"}


def test_an_identity_the_server_does_not_know_blocks() -> None:
    cluster = ready()
    for method in ("server_version", "get", "list", "can_i", "served_versions"):
        cluster.fail(method, cluster.failure(401, "Unauthorized", "Unauthorized"), times=None)
    facts = facts_of(cluster)
    found = check_all(facts)
    assert top_blocker(found) == "client_unavailable"
    login = next(each for each in found if each.name == "login")
    assert login.status == "fail"
    assert "log in again" in (login.hint or "")


def test_an_identity_that_is_nobody_is_noted() -> None:
    cluster = ready(rules=())
    cluster._user = "system:anonymous"
    found = check("login", cluster)
    assert found.status == "note"
    assert "system:anonymous" in found.detail


def test_a_server_that_only_says_its_version_has_not_said_that_it_knows_us() -> None:
    cluster = ready()
    for method in ("get", "list", "can_i", "served_versions"):
        cluster.fail(method, cluster.failure(500, "InternalError", "x"), times=None)
    found = statuses(facts_of(cluster))
    assert (found["reachable"], found["login"]) == ("pass", "unknown")


def test_a_version_that_is_denied_is_not_an_absent_server() -> None:
    cluster = ready()
    cluster.fail("server_version", cluster.failure(403, "Forbidden", "no"))
    assert check("reachable", cluster).status == "unknown"
    assert top_blocker(check_all(facts_of(ready()))) is None


# The namespace and the workload.


def test_a_namespace_that_is_not_there_comes_before_the_workload() -> None:
    cluster = MemoryCluster()
    found = check_all(facts_of(cluster))
    assert top_blocker(found) == "namespace_missing"
    assert {each.blocker for each in found} >= {"namespace_missing", "deployment_missing"}


def test_a_namespace_on_its_way_out_is_noted() -> None:
    cluster = ready()
    cluster.put(NAMESPACES, {"metadata": {"name": NAMESPACE}, "status": {"phase": "Terminating"}})
    assert check("namespace", cluster).status == "note"


def test_a_namespace_nobody_may_read_is_there_when_something_is_in_it() -> None:
    assert check("namespace", ready(rules=(*OBSERVE, *VERIFY))).status == "pass"


def test_a_namespace_nobody_may_read_and_nothing_in_it_is_not_known() -> None:
    found = check("namespace", ready(without=(DEPLOYMENTS,), rules=(*OBSERVE, *VERIFY)))
    assert found.status == "unknown"
    assert "namespaces" in (found.role_yaml or "")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trianer", "did you mean 'trainer'?"), ("something-else", "there is: trainer")],
)
def test_a_workload_that_is_not_there_has_its_neighbours_named(name: str, hint: str) -> None:
    found = check("workload", ready(), subject(name=name))
    assert (found.status, found.blocker, found.hint) == ("fail", "deployment_missing", hint)


def test_where_there_is_no_workload_of_the_kind_at_all_the_kind_is_doubted() -> None:
    assert "--k8s-kind" in (check("workload", ready(without=(DEPLOYMENTS,))).hint or "")


def test_neighbours_that_may_not_be_listed_leave_a_hint_all_the_same() -> None:
    found = check("workload", ready(rules=rules_without("list", "deployments")), subject(name="trianer"))
    assert (found.blocker, found.hint) == (
        "deployment_missing",
        "see 'kubectl get deployments'; --k8s-deployment chooses",
    )


def test_a_kind_the_cluster_does_not_have_is_told_as_such() -> None:
    found = check("workload", ready(rules=None), subject("JobSet"))
    assert found.blocker == "deployment_missing"
    assert "jobset.x-k8s.io" in found.detail


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"status": {"readyReplicas": 1}}, "pass", "1 of 2 pods ready"),
        ({"status": {}}, "note", "0 of 2 pods ready"),
        ({"spec__replicas": None, "status": {"readyReplicas": 1}}, "pass", "1 of 1 pod ready"),
        ({"metadata__deletionTimestamp": "2026-01-31T09:00:00Z"}, "note", "being deleted"),
    ],
)
def test_what_runs_of_a_workload_is_told(changes: dict[str, Any], status: str, says: str) -> None:
    found = check("workload", with_trainer(**changes))
    assert found.status == status
    assert says in found.detail


def test_a_workload_that_may_not_be_read_is_a_matter_of_rights() -> None:
    facts = facts_of(ready(rules=rules_without("get", "deployments")))
    found = {each.name: each for each in check_all(facts)}
    assert found["workload"].status == "unknown"
    assert found["observe_access"].blocker == "rbac_denied"
    assert top_blocker(tuple(found.values())) == "rbac_denied"
    lost = {name for name, each in found.items() if each.status == "unknown"}
    assert lost == {
        "workload", "container", "telemetry_annotation", "annotations_file", "gpu_request", "owner", "kueue",
    }  # fmt: skip


def test_a_workload_that_cannot_be_read_for_another_reason_blocks_as_unknown() -> None:
    cluster = ready()
    cluster.fail(
        "get", cluster.failure(500, "InternalError", "etcd"), when=lambda ref: getattr(ref, "name", "") == "trainer"
    )
    assert top_blocker(check_all(facts_of(cluster))) == "unknown"


# Rights.


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("get", "deployments"), ("get", "pods"), ("list", "pods"), ("watch", "pods"), ("get", "pods/log")],
)
def test_each_right_that_observing_takes_is_missed_by_name(verb: str, resource: str) -> None:
    found = check("observe_access", ready(rules=rules_without(verb, resource)))
    assert (found.status, found.blocker) == ("fail", "rbac_denied")
    assert f"{verb} {resource}" in found.detail
    role = found.role_yaml or ""
    assert f'resources: ["{resource}"]' in role
    assert f'verbs: ["{verb}"]' in role
    assert f"namespace: {NAMESPACE}" in role
    assert role.count("- apiGroups") == 1, "the role is the missing rule and nothing else"


@pytest.mark.parametrize("resource", ["deployments", "pods"])
def test_a_right_that_only_verifying_takes_is_a_note(resource: str) -> None:
    facts = facts_of(ready(rules=rules_without("patch", resource)))
    found = next(each for each in check_all(facts) if each.name == "verify_access")
    assert found.status == "note"
    assert 'verbs: ["patch"]' in (found.role_yaml or "")
    assert top_blocker(check_all(facts)) is None


@pytest.mark.parametrize(
    ("name", "when", "blocker"),
    [("observe_access", "get", "unknown"), ("verify_access", "patch", None)],
)
def test_rights_the_cluster_does_not_tell_are_unknown(name: str, when: str, blocker: str | None) -> None:
    cluster = ready()
    cluster.fail(
        "can_i", cluster.failure(500, "InternalError", "x"), times=None, when=lambda q: getattr(q, "verb", "") == when
    )
    found = check(name, cluster)
    assert (found.status, found.blocker) == ("unknown", blocker)


# The container and the telemetry.

TWO = [{"name": "main"}, {"name": "exporter"}]


@pytest.mark.parametrize(
    ("containers", "annotations", "named", "status", "chosen"),
    [
        ([{"name": "main"}], {}, None, "pass", "main"),
        (TWO, {}, None, "note", None),
        (TWO, {"kubectl.kubernetes.io/default-container": "exporter"}, None, "pass", "exporter"),
        (TWO, {"kubectl.kubernetes.io/default-container": "gone"}, None, "note", None),
        (TWO, {}, "exporter", "pass", "exporter"),
        (TWO, {}, "exporte", "fail", None),
    ],
)
def test_the_container_is_chosen_where_there_is_one_choice(
    containers: list[Any], annotations: dict[str, str], named: str | None, status: str, chosen: str | None
) -> None:
    cluster = with_trainer(
        spec__template__spec__containers=containers, spec__template__metadata__annotations=annotations
    )
    about = subject(container=named)
    assert check("container", cluster, about).status == status
    assert chosen_container(facts_of(cluster, about)) == chosen


def test_the_container_is_the_one_that_observe_takes_from_the_pods() -> None:
    trains, helps = {"name": "main"}, {"name": "istio-proxy"}
    for containers, annotations in (
        ([trains, helps], {}),
        ([helps], {}),
        ([trains, {"name": "second"}], {}),
        ([trains, helps], {"kubectl.kubernetes.io/default-container": "istio-proxy"}),
        ([], {}),
    ):
        cluster = with_trainer(
            spec__template__spec__containers=containers, spec__template__metadata__annotations=annotations
        )
        pod = {"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": containers}}
        facts = msgspec.structs.replace(facts_of(cluster), sidecars=SIDECARS)
        try:
            taken = choose_container(pod, None)
        except BadInputError:
            taken = None
        assert chosen_container(facts) == taken


def test_the_telemetry_annotation_may_be_on_the_object() -> None:
    cluster = with_trainer(
        metadata__annotations={"modekeeper/telemetry": "stdout-jsonl"}, spec__template__metadata__annotations={}
    )
    assert check("telemetry_annotation", cluster).status == "pass"


@pytest.mark.parametrize(
    ("annotations", "status", "says"),
    [
        ({"modekeeper/telemetry": "stdout-jsonl"}, "pass", "modekeeper/telemetry=stdout-jsonl"),
        ({}, "note", "no modekeeper/telemetry annotation"),
        ({"modekeeper/telemetry": "yes\n\x1b[2J"}, "note", r"yes\\n\\x1b[2J"),
    ],
)
def test_the_telemetry_annotation_is_read_from_the_pods(annotations: dict[str, str], status: str, says: str) -> None:
    found = check("telemetry_annotation", with_trainer(spec__template__metadata__annotations=annotations))
    assert found.status == status
    assert says in found.detail
    assert found.detail.isprintable()


PROJECTED = {"name": "podinfo", "projected": {"sources": [{"configMap": {}}, TEMPLATE["spec"]["volumes"][0]]}}
ONE_KEY = {
    "name": "podinfo",
    "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.annotations['x']"}}]},
}


def mounted(**more: str) -> list[dict[str, Any]]:
    return [{"name": "main", "volumeMounts": [{"name": "podinfo", "mountPath": "/etc/podinfo", **more}]}]


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({}, "pass", "/etc/podinfo/annotations"),
        ({"spec__template__spec__volumes": [PROJECTED]}, "pass", "/etc/podinfo/annotations"),
        ({"spec__template__spec__volumes": []}, "note", "no file"),
        ({"spec__template__spec__volumes": [ONE_KEY]}, "note", "no file"),
        ({"spec__template__spec__containers": [{"name": "main"}]}, "note", "no file"),
        ({"spec__template__spec__containers": mounted(subPath="annotations")}, "note", "subPath"),
        ({"spec__template__spec__containers": mounted(subPathExpr="$(X)")}, "note", "subPath"),
        ({"spec__template__spec__containers": mounted(subPath="other")}, "note", "no file"),
    ],
)
def test_hot_changes_need_a_live_file_of_the_annotations(changes: dict[str, Any], status: str, says: str) -> None:
    found = check("annotations_file", with_trainer(**changes))
    assert found.status == status
    assert says in found.detail


# GPUs: notes, never blockers.


def test_without_any_gpu_there_are_notes_and_no_blocker() -> None:
    cluster = ready(without=(NODES, DAEMON_SETS))
    cluster.put(NODES, {"metadata": {"name": "cpu-1"}, "status": {"allocatable": {"cpu": "4"}}})
    cluster.put(DEPLOYMENTS, trainer(spec__template__spec__containers=mounted()))
    facts = facts_of(cluster)
    found = statuses(facts)
    assert [found[name] for name in ("gpu_capacity", "device_plugin", "gpu_request")] == ["note", "note", "note"]
    assert (gpu_capacity_present(facts), device_plugin_present(facts), gpu_requested(facts)) == (False, False, 0)
    assert top_blocker(check_all(facts)) is None


@pytest.mark.parametrize(
    ("allocatable", "gpus"),
    [
        ({"nvidia.com/gpu": "8"}, 8),
        ({"nvidia.com/gpu": 4}, 4),
        ({"nvidia.com/gpu": "1k"}, 1000),
        ({"nvidia.com/mig-1g.5gb": "7"}, 7),
        ({"nvidia.com/gpu.shared": "4"}, 4),
        ({"nvidia.com/gpu": "0"}, 0),
        ({"nvidia.com/gpu": "-1"}, 0),
        ({"nvidia.com/gpu": True}, 0),
        ({"nvidia.com/gpu": ["8"]}, 0),
        ({"nvidia.com/gpu": "٣"}, 0),
        ({"nvidia.com/gpu": "9" * 5000}, 0),
        ([], 0),
        (None, 0),
    ],
)
def test_gpus_of_a_node_are_counted_whatever_it_says(allocatable: Any, gpus: int) -> None:
    cluster = ready(without=(NODES,))
    cluster.put(NODES, {"metadata": {"name": "n"}, "status": {"allocatable": allocatable}})
    facts = facts_of(cluster)
    assert (gpu_allocatable(facts), gpu_capacity_present(facts)) == (gpus, gpus > 0)


def test_nodes_that_were_not_read_are_not_nodes_without_gpus() -> None:
    cluster = ready(without=(NODES,))
    for number in range(MOST_NODES + 1):
        cluster.put(NODES, {"metadata": {"name": f"n{number:05d}"}, "status": {}})
    facts = facts_of(cluster)
    assert gpu_capacity_present(facts) is None
    assert statuses(facts)["gpu_capacity"] == "unknown"


@pytest.mark.parametrize(
    ("plugin", "status"),
    [
        (PLUGIN, "pass"),
        (
            {
                "metadata": {
                    "name": "gpu",
                    "namespace": "x",
                    "labels": {"app.kubernetes.io/name": "nvidia-device-plugin"},
                }
            },
            "pass",
        ),
        ({"metadata": {"name": "logs", "namespace": "x"}}, "note"),
    ],
)
def test_a_device_plugin_is_known_by_name_label_or_image(plugin: dict[str, Any], status: str) -> None:
    cluster = ready(without=(NODES, DAEMON_SETS))
    cluster.put(DAEMON_SETS, plugin)
    assert check("device_plugin", cluster).status == status


def test_gpus_on_a_node_prove_a_device_plugin() -> None:
    assert device_plugin_present(facts_of(ready(without=(DAEMON_SETS,)))) is True
    assert device_plugin_present(facts_of(ready(rules=rules_without("list", "daemonsets")))) is True


def test_gpu_facts_nobody_may_read_are_null_with_the_role_to_ask_for() -> None:
    facts = facts_of(ready(rules=(*OBSERVE, *VERIFY)))
    assert (gpu_capacity_present(facts), gpu_allocatable(facts), device_plugin_present(facts)) == (None, None, None)
    found = {each.name: each for each in check_all(facts)}
    for name, resource in (("gpu_capacity", "nodes"), ("device_plugin", "daemonsets")):
        assert found[name].status == "unknown"
        assert "kind: ClusterRole\n" in (found[name].role_yaml or "")
        assert f'resources: ["{resource}"]' in (found[name].role_yaml or "")
        assert "name: observer" in (found[name].role_yaml or ""), "the denial said who we are"
    assert top_blocker(tuple(found.values())) is None


SIDECAR = {"name": "agent", "restartPolicy": "Always", "resources": {"limits": {"nvidia.com/gpu": "1"}}}


@pytest.mark.parametrize(
    ("pod", "gpus"),
    [
        ({"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}}]}, 2),
        ({"containers": [{"resources": {"requests": {"nvidia.com/gpu": "1"}}}] * 2}, 2),
        ({"containers": [{}], "initContainers": [SIDECAR, {**SIDECAR, "restartPolicy": None}]}, 1),
        ({"containers": [{"resources": None}, None, 7]}, 0),
        ({"containers": [{}], "resourceClaims": [{"name": "gpu"}]}, 0),
    ],
)
def test_the_gpus_a_pod_asks_for_are_summed(pod: dict[str, Any], gpus: int) -> None:
    cluster = with_trainer(spec__template__spec=pod)
    assert gpu_requested(facts_of(cluster)) == gpus
    found = check("gpu_request", cluster)
    assert found.status == ("pass" if gpus else "note")
    assert ("resource claims" in found.detail) == ("resourceClaims" in pod)


# Who else changes it.


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:x/trainer"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "a"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "a"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "a"}}, "Flux"),
        ({"annotations": {"meta.helm.sh/release-name": "a"}}, "Helm"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"ownerReferences": [{"kind": "TrainJob", "name": "llm", "controller": True}]}, "made by TrainJob llm"),
    ],
)
def test_what_keeps_the_object_is_named(metadata: dict[str, Any], says: str) -> None:
    found = check("owner", with_trainer(metadata={"name": "trainer", "namespace": NAMESPACE, **metadata}))
    assert found.status == "note"
    assert says in found.detail


def test_an_owner_that_is_no_controller_keeps_nothing() -> None:
    metadata = {"name": "trainer", "namespace": NAMESPACE, "ownerReferences": [{"kind": "App", "name": "x"}]}
    assert check("owner", with_trainer(metadata=metadata)).status == "pass"


def aiming(
    ref: str, resource_name: str = "trainer", kind: str = "Deployment", version: str | None = "apps/v1"
) -> dict[str, Any]:
    target = {"kind": kind, "name": resource_name} | ({"apiVersion": version} if version else {})
    return {"metadata": {"name": "scaler", "namespace": NAMESPACE}, "spec": {ref: target}}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (aiming("scaleTargetRef"), "note"),
        (aiming("scaleTargetRef", version=None), "note"),
        (aiming("scaleTargetRef", "other"), "pass"),
        (aiming("scaleTargetRef", kind="StatefulSet"), "pass"),
        (aiming("scaleTargetRef", version="example.com/v1"), "pass"),
    ],
)
def test_a_horizontal_autoscaler_of_this_workload_is_noted(target: dict[str, Any], status: str) -> None:
    cluster = ready()
    cluster.put(HPAS, target)
    assert check("horizontal_autoscaler", cluster).status == status


def test_a_vertical_autoscaler_of_this_workload_is_noted_where_the_kind_is_served() -> None:
    cluster = ready()
    cluster.put(VPAS, aiming("targetRef", "other"))
    assert check("vertical_autoscaler", cluster).status == "pass"
    cluster.put(VPAS, aiming("targetRef"))
    found = check("vertical_autoscaler", cluster)
    assert found.status == "note"
    assert "scaler (updateMode by default)" in found.detail


def test_autoscalers_nobody_may_list_are_unknown() -> None:
    cluster = ready(rules=(*OBSERVE, *VERIFY, *SURROUNDINGS[:-1]))
    cluster.serve(VPAS)
    found = statuses(facts_of(cluster))
    assert (found["horizontal_autoscaler"], found["vertical_autoscaler"]) == ("unknown", "unknown")


@pytest.mark.parametrize("where", ["metadata__labels", "spec__template__metadata__labels"])
def test_a_queue_of_kueue_is_noted(where: str) -> None:
    found = check("kueue", with_trainer(**{where: {"kueue.x-k8s.io/queue-name": "gpus"}}))
    assert found.status == "note"
    assert "gpus" in found.detail
