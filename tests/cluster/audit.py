"""What the API server was asked, and by whom: its audit log.

The server writes an event while it still works on the request (``--audit-log-mode=blocking``): a line of JSON with what
was asked, without bodies. Format: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/.
"""

import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.control_plane import ControlPlane, wait_until

READING_VERBS = frozenset({"get", "list", "watch", "head", "options"})
"""The verbs that change nothing; every other one, also one not known here, counts as changing something."""

SELF_REVIEWS = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
"""Questions about oneself: created, and kept nowhere."""

REACHING_INTO_PODS = frozenset({"attach", "exec", "portforward", "proxy"})
"""Subresources through which anything can be done, also with a verb that reads."""


@dataclass(frozen=True)
class Event:
    """One request. ``path`` is the URI with its query; the parts of the object are empty where it names none.

    ``status`` is the HTTP status of the answer: a request that was refused was made all the same.
    """

    user: str
    verb: str
    path: str
    status: int
    user_agent: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    received_at: str = ""
    """When the server had the request, and when it had answered it: UTC, microseconds, by the clock of this machine."""
    answered_at: str = ""

    @property
    def is_dry_run(self) -> bool:
        return parse_qs(urlsplit(self.path).query).get("dryRun") == ["All"]

    @property
    def mutates(self) -> bool:
        """Whether it would change the cluster if it were allowed. A dry run asked for in a body is not seen as one."""
        if self.subresource in REACHING_INTO_PODS:
            return True
        is_question = self.verb == "create" and (self.group, self.resource) in SELF_REVIEWS
        return self.verb not in READING_VERBS and not self.is_dry_run and not is_question


def position(plane: ControlPlane) -> int:
    """Where the log ends after every request answered until now, in bytes: for ``events`` to begin at."""
    log = plane.audit_log
    began = log.stat().st_size
    mark = f"/version?mark={secrets.token_hex(8)}"
    plane.request("admin", mark)

    def is_written() -> bool:
        with log.open("rb") as text:
            text.seek(began)
            return any(mark.encode() in line for line in text if line.endswith(b"\n"))

    wait_until(is_written, "the audit log has every request")
    return log.stat().st_size


def events(plane: ControlPlane, user: str, since: int = 0) -> list[Event]:
    """What a user asked, of what was answered until now, after a ``position``."""
    end = position(plane)
    with plane.audit_log.open("rb") as log:
        log.seek(since)
        lines = log.read(end - since).splitlines()
    found = [_event(json.loads(line)) for line in lines]
    return [event for event in found if event.user == user]


def mutations(plane: ControlPlane, user: str, since: int = 0) -> list[Event]:
    """Those of ``events`` that would change the cluster, also where they were refused."""
    return [event for event in events(plane, user, since) if event.mutates]


def _event(said: dict[str, Any]) -> Event:
    what = said.get("objectRef", {})
    return Event(
        user=said["user"]["username"],
        verb=said["verb"],
        path=said["requestURI"],
        status=said.get("responseStatus", {}).get("code", 0),
        user_agent=said.get("userAgent", ""),
        **{part: what.get(part, "") for part in ("resource", "subresource", "namespace", "name")},
        group=what.get("apiGroup", ""),
        received_at=said["requestReceivedTimestamp"],
        answered_at=said["stageTimestamp"],
    )
