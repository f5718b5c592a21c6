"""On the real API server: what admission makes of a plan before it is stored."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.cluster.control_plane import HOST, ControlPlane, wait_until
from tests.cluster.fake_nodes import FakeNodes
from tests.cluster.verify.on_cluster import create, reading, verified, wait_for_pods
from tests.cluster.verify.webhook import admitting, allowed, configuration, denied
from tests.cluster_verify.worlds import KEY, codes, item

from modekeeper.artifacts.contracts.k8s_verify import BlockerKind, VerifyItem
from modekeeper.model.cluster import ClusterAnswerError, ObjectRef
from modekeeper.model.decision import Actuation
from modekeeper.model.workload import find_workload_kind

HOT, COLD = Actuation.HOT, Actuation.COLD
POINTER = KEY.replace("/", "~1")
TEMPLATE = f"/spec/template/metadata/annotations/{POINTER}"
RECORD = f"/metadata/annotations/{POINTER}"


def settled(plane: ControlPlane, namespace: str, code: str | None, actuation: Actuation = COLD) -> VerifyItem:
    """Verified once the configuration is in force: the API server reads it a moment after it was made."""
    found: list[VerifyItem] = []

    def in_force() -> bool:
        found[:] = [verified(plane, "admin", item(actuation, namespace=namespace))]
        return code in codes(found[0]) if code else bool(found[0].dry_run.also_changes)

    wait_until(in_force, f"{code or 'a change beside ours'} is seen", 20)
    return found[0]


def test_a_webhook_that_rewrites_our_value_is_a_blocker(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")

    def clamp(_request: dict[str, Any]) -> dict[str, Any]:
        return allowed({"op": "replace", "path": TEMPLATE, "value": "2"})

    with admitting(control_plane, namespace, clamp):
        judged = settled(control_plane, namespace, "value_rewritten")
    assert judged.blocker is BlockerKind.DRY_RUN_FAILED
    assert judged.dry_run.status == "rewritten"
    assert "asked to be '4' and would be '2'" in judged.dry_run.detail


def test_a_webhook_that_drops_our_value_from_the_pods_is_a_blocker(
    control_plane: ControlPlane, namespace: str, kwok: FakeNodes
) -> None:
    create(control_plane, namespace, "Deployment")
    wait_for_pods(control_plane, namespace, 2)

    def drop(request: dict[str, Any]) -> dict[str, Any]:
        annotations = request["object"]["metadata"].get("annotations", {})
        of_a_pod = request["kind"]["kind"] == "Pod" and KEY in annotations
        return allowed({"op": "remove", "path": RECORD}) if of_a_pod else allowed()

    with admitting(control_plane, namespace, drop):
        judged = settled(control_plane, namespace, "value_rewritten", HOT)
    assert judged.dry_run.status == "accepted"
    assert judged.pods is not None
    assert judged.pods.dry_run.status == "rewritten"
    assert "would be missing" in judged.pods.dry_run.detail


def test_what_a_webhook_changes_beside_ours_is_a_note(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")

    def label(_request: dict[str, Any]) -> dict[str, Any]:
        return allowed({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}})

    with admitting(control_plane, namespace, label):
        judged = settled(control_plane, namespace, None)
    assert judged.ok
    assert judged.dry_run.also_changes == ("metadata.labels.seen",)


@pytest.mark.parametrize(("code", "status"), [(None, 400), (403, 403), (422, 422)])
def test_a_webhook_that_says_no_is_heard(
    code: int | None, status: int, control_plane: ControlPlane, namespace: str
) -> None:
    create(control_plane, namespace, "Deployment")
    with admitting(control_plane, namespace, lambda _request: denied("not on Fridays", code)):
        judged = settled(control_plane, namespace, "dry_run_rejected")
    assert judged.blocker is BlockerKind.DRY_RUN_FAILED
    assert judged.dry_run.http_status == status
    assert "not on Fridays" in judged.dry_run.detail
    assert (judged.effect.effect, judged.effect.reason) == ("rejected", "refused_by_api_server")


def test_a_webhook_that_does_not_answer_fails_the_dry_run(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")
    body = configuration(control_plane, namespace, f"https://{HOST}:1/")
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    assert control_plane.request("admin", path, "POST", body).status == 201
    try:
        judged = settled(control_plane, namespace, "dry_run_failed")
    finally:
        control_plane.request("admin", f"{path}/of-{namespace}", "DELETE")
    assert judged.dry_run.http_status == 500
    assert "failed calling webhook" in judged.dry_run.detail


@contextmanager
def stored_by_an_older_server(plane: ControlPlane, namespace: str) -> Iterator[None]:
    """A webhook with side effects. ``v1`` of the API takes none any more, but what ``v1beta1`` stored is still there:
    it is put into etcd as such a server left it."""
    body = configuration(plane, namespace, f"https://{HOST}:1/", sideEffects="Some")
    refused = plane.request(
        "admin", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "POST", body
    )
    assert refused.status == 422, "then the detour through etcd is not needed"
    body["metadata"] |= {"uid": f"00000000-0000-4000-8000-{namespace[-8:]:>012}", "generation": 1}
    body["metadata"]["creationTimestamp"] = "2021-01-31T09:00:00Z"
    body["webhooks"][0] |= {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "reinvocationPolicy": "Never"}
    body["webhooks"][0]["objectSelector"] = {}
    for rule in body["webhooks"][0]["rules"]:
        rule["scope"] = "*"
    key = f"/registry/mutatingwebhookconfigurations/of-{namespace}"
    etcd(plane, "put", key=key, value=json.dumps(body))
    try:
        yield
    finally:
        etcd(plane, "deleterange", key=key)


def etcd(plane: ControlPlane, what: str, **texts: str) -> None:
    body = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    url = f"http://{HOST}:{plane.ports['etcd']}/v3/kv/{what}"
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200


def test_a_webhook_with_side_effects_makes_it_unverifiable(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")
    with stored_by_an_older_server(control_plane, namespace):
        judged = settled(control_plane, namespace, "dry_run_unverifiable")
        known = find_workload_kind("Deployment")
        assert known is not None
        with reading(control_plane, "admin") as reader, pytest.raises(ClusterAnswerError, match="dry run") as refused:
            reader.dry_run(ObjectRef(known.resource(), namespace, "trainer"), item().patch)
    assert refused.value.status == 400
    assert judged.dry_run.status == "unverifiable"
    assert judged.blocker is BlockerKind.DRY_RUN_FAILED
    assert not judged.ok


def test_a_policy_that_says_no_is_heard(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")
    name, root = f"of-{namespace}", "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["UPDATE"]}
    policy = {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "false", "message": "frozen until Monday"}],
        },
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here},
    }
    places = {"validatingadmissionpolicies": policy, "validatingadmissionpolicybindings": binding}
    for plural, body in places.items():
        assert control_plane.request("admin", f"{root}/{plural}", "POST", body).status == 201
    try:
        judged = settled(control_plane, namespace, "dry_run_rejected")
    finally:
        for plural in places:
            control_plane.request("admin", f"{root}/{plural}/{name}", "DELETE")
    assert "frozen until Monday" in judged.dry_run.detail
    assert judged.dry_run.http_status == 422


def test_a_warning_of_the_api_server_is_a_note(control_plane: ControlPlane, namespace: str) -> None:
    create(control_plane, namespace, "Deployment")

    def warn(_request: dict[str, Any]) -> dict[str, Any]:
        return allowed({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}) | {
            "warnings": ["soon gone"]
        }

    with admitting(control_plane, namespace, warn):
        judged = settled(control_plane, namespace, None)
    assert any("soon gone" in note for note in judged.notes)
