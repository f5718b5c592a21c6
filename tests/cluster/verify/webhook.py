"""A mutating admission webhook on a loopback port, for the one namespace of a test.

Format: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cluster.control_plane import HOST, ControlPlane

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""From the ``request`` of an AdmissionReview to the ``response``, which gets its uid afterwards."""


def allowed(*operations: dict[str, Any]) -> dict[str, Any]:
    """Allowed, with the operations of a JSON patch."""
    if not operations:
        return {"allowed": True}
    patch = base64.b64encode(json.dumps(list(operations)).encode()).decode()
    return {"allowed": True, "patchType": "JSONPatch", "patch": patch}


def denied(message: str, code: int | None = None) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": message} | ({} if code is None else {"code": code})}


@contextmanager
def serving(plane: ControlPlane, answer: Answer) -> Iterator[str]:
    """A server that answers reviews; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = answer(review["request"]) | {"uid": review["request"]["uid"]}
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plane.folder / "serving.crt", plane.folder / "serving.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def configuration(plane: ControlPlane, namespace: str, url: str, **settings: Any) -> dict[str, Any]:
    """A configuration that asks ``url`` about every update of a Deployment or a pod in one namespace."""
    authority = base64.b64encode((plane.folder / "ca.crt").read_bytes()).decode()
    webhook = {
        "name": "w.test.invalid",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": url, "caBundle": authority},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["UPDATE"]},
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["UPDATE"]},
        ],
        "sideEffects": "None",
        "timeoutSeconds": 5,
        **settings,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"of-{namespace}"},
        "webhooks": [webhook],
    }


@contextmanager
def admitting(plane: ControlPlane, namespace: str, answer: Answer, **settings: Any) -> Iterator[None]:
    """A webhook at work in one namespace, as soon as the API server has read its configuration."""
    with serving(plane, answer) as url:
        body = configuration(plane, namespace, url, **settings)
        made = plane.request("admin", CONFIGURATIONS, "POST", body)
        assert made.status == 201, made.body
        try:
            yield
        finally:
            plane.request("admin", f"{CONFIGURATIONS}/of-{namespace}", "DELETE")
