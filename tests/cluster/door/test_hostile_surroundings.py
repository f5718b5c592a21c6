"""What others do to an apply on the real API server: it is refused for the right reason, and nothing is written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.control_plane import wait_until
from tests.cluster.door.stages import AFTER, BEFORE, Applying, Client, Place, Stage, applying, clients
from tests.cluster.door.zygote import DONE, NOT_DONE, REFUSED
from tests.cluster.door.zygotes import starting
from tests.cluster.verify.webhook import admitting, allowed, denied
from tests.cluster_verify.worlds import KEY

from modekeeper.artifacts.contracts.k8s_apply import ApplyStatus, K8sApplyReport
from modekeeper.cli.clocks import SystemClock
from modekeeper.model.cluster import DryRunAnswer, JsonObject
from modekeeper.model.decision import Actuation, BlockReason
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.change import Change
from modekeeper_pro.door.report import Asked, apply_report
from modekeeper_pro.door.writer import Writer

HOT, COLD = Actuation.HOT, Actuation.COLD
CLIENTS = ("api", pytest.param("kubectl", marks=pytest.mark.heavy))
"""kubectl is a process for each question; the suite of both writers is in ``test_writers_conform.py``."""
ITEMS = ((("Deployment", "a"), HOT), (("StatefulSet", "d"), COLD))
"""Three writes, in this order: a Deployment's record, its pod, a StatefulSet's template."""


@contextmanager
def door_of(stage: Stage, folder: Path, client: Client, request_timeout_s: float = 20) -> Iterator[Applying]:
    with clients(stage.plane, client, request_timeout_s) as both:
        yield applying(stage, folder, both, *ITEMS)


def applied(door: Applying) -> K8sApplyReport:
    now = SystemClock().now()
    return apply_report(apply(door.request, door.ports), Asked(started=now, finished=now))


def refused(door: Applying, since: int, reason: BlockReason, detail: str) -> None:
    """For that reason, with nothing written, no request to, and nothing on the disk."""
    report = applied(door)
    assert report.block_reason is reason, (report.block_reasons, report.detail)
    assert detail in report.detail
    assert not report.apply_attempted
    assert door.stage.asked(since) == []
    assert door.receipts() == 0
    assert not (door.folder / "door").exists()


@pytest.mark.parametrize("same_folder", [True, False], ids=["same folder", "two folders"])
def test_two_appliers_at_once(at_rest: Stage, tmp_path: Path, same_folder: bool) -> None:
    with starting(at_rest) as one, starting(at_rest) as other, door_of(at_rest, tmp_path / "one", "api") as door:
        since = at_rest.position()
        second = door
        if not same_folder:
            with door_of(at_rest, tmp_path / "other", "api") as second:
                pass
        one.begin(door, "api", "apply")
        other.begin(second, "api", "apply")
        ends = sorted([one.ended(), other.ended()])
        # In one folder the later one may come when the first is done, and finds nothing left to do.
        assert ends in ([[DONE, REFUSED], [DONE, DONE]] if same_folder else [[DONE, NOT_DONE]])
        assert at_rest.written(since) == 3
        folders = {door.folder, second.folder}
        assert sum(len(list(each.glob("door/*/receipts/*.json"))) for each in folders) == 3
    assert set(at_rest.ours().values()) == {BEFORE, AFTER}


def edited(place: str) -> Callable[[Stage], None]:
    def edit(stage: Stage) -> None:
        found: dict[str, Place] = {
            "record": ("Deployment", "a", "record"),
            "pod": ("Pod", stage.pod_of("a"), "record"),
            "template": ("StatefulSet", "d", "template"),
        }
        stage.set(found[place], "3")

    return edit


@dataclass(frozen=True)
class Meanwhile:
    """What somebody does between verify and apply."""

    name: str
    act: Callable[[Stage], None]
    detail: str
    reason: BlockReason = BlockReason.TARGET_CHANGED


MEANWHILE = (
    Meanwhile("the record is edited", edited("record"), "was '2' and is '3'"),
    Meanwhile("the pod is edited", edited("pod"), "was '2' and is '3'"),
    Meanwhile("the template is edited", edited("template"), "was edited since it was verified"),
    Meanwhile("recreated", lambda stage: stage.recreate("StatefulSet", "d"), "another object of the same name"),
)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=lambda each: each.name)
def test_between_verify_and_apply(at_rest: Stage, tmp_path: Path, client: Client, meanwhile: Meanwhile) -> None:
    with door_of(at_rest, tmp_path, client) as door:
        since = at_rest.position()
        meanwhile.act(at_rest)
        refused(door, since, meanwhile.reason, meanwhile.detail)


@dataclass
class Preceded:
    """A writer, and somebody who is there just before its second write."""

    real: Writer
    act: Callable[[], None]
    writes: int = 0

    def dry_run(self, change: Change) -> DryRunAnswer:
        return self.real.dry_run(change)

    def write(self, change: Change) -> JsonObject:
        self.writes += 1
        if self.writes == 2:
            self.act()
        return self.real.write(change)

    def close(self) -> None:
        self.real.close()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("what", ["edited", "recreated"])
def test_between_look_and_write(at_rest: Stage, tmp_path: Path, client: Client, what: str) -> None:
    """The API server itself refuses it: nothing of it is written, what came before has its receipt."""
    pod = at_rest.pod_of("a")
    with door_of(at_rest, tmp_path, client) as door:
        since = at_rest.position()
        act = {"edited": lambda: edited("pod")(at_rest), "recreated": lambda: at_rest.recreate("Pod", pod)}[what]
        door.writer = Preceded(door.writer, act)
        report = applied(door)
        assert report.block_reason is BlockReason.TARGET_CHANGED
        assert ("was '2' and is '3'" if what == "edited" else "another object of the same name") in report.detail
        assert [item.status for item in report.items] == [ApplyStatus.REFUSED, ApplyStatus.NOT_DONE]
        assert [event.status for event in at_rest.asked(since)] == [200, 409]
        assert door.receipts() == 1


Answer = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def webhook(stage: Stage, answer: Answer) -> Iterator[None]:
    """At work when the block begins; not waited for where it does not answer, so that nothing hangs after it."""
    asked: list[Any] = []

    def noted(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return answer(request)

    def in_force() -> bool:
        patch = {"metadata": {"annotations": {"somebody/else": "x"}}}
        path = stage.path("Deployment", "a")
        stage.plane.request("admin", f"{path}?dryRun=All", "PATCH", patch)
        return bool(asked)

    with admitting(stage.plane, stage.namespace, noted, failurePolicy="Ignore"):
        wait_until(in_force, "the webhook is in force", 20)
        yield


def clamping(request: dict[str, Any]) -> dict[str, Any]:
    """Our value, wherever it is set to more than the site allows, becomes less."""
    annotations = request["object"]["metadata"].get("annotations", {})
    if annotations.get(KEY) != AFTER:
        return allowed()
    return allowed({"op": "replace", "path": f"/metadata/annotations/{KEY.replace('/', '~1')}", "value": "3"})


def only_for_real(answer: Answer) -> Answer:
    return lambda request: allowed() if request["dryRun"] else answer(request)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_webhook_rewrites_our_value(at_rest: Stage, tmp_path: Path, client: Client) -> None:
    with door_of(at_rest, tmp_path, client) as door:
        since = at_rest.position()
        with webhook(at_rest, clamping):
            refused(door, since, BlockReason.EFFECT_UNKNOWN, "admission changes what was asked for")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_webhook_rewrites_only_what_is_no_dry_run(at_rest: Stage, tmp_path: Path, client: Client) -> None:
    """It breaks the rules of admission: the one write it touched is read back, receipted as it is, and the last."""
    with door_of(at_rest, tmp_path, client) as door:
        since = at_rest.position()
        with webhook(at_rest, only_for_real(clamping)):
            report = applied(door)
        assert report.block_reason is BlockReason.TARGET_CHANGED
        assert "read back it is not so" in report.detail
        assert at_rest.written(since) == len(at_rest.asked(since)) == 1
        assert door.receipts() == 1
        receipt = report.items[0].receipt
        assert receipt is not None
        assert receipt.after == {KEY: "3"}


@pytest.mark.parametrize(
    ("client", "code", "asked"),
    [
        ("api", 429, 1),
        ("api", 500, 5),
        pytest.param("kubectl", 429, 5, marks=pytest.mark.heavy),
        pytest.param("kubectl", 500, 5, marks=pytest.mark.heavy),
    ],
)
def test_the_api_server_says_no_to_the_write(
    at_rest: Stage, tmp_path: Path, client: Client, code: int, asked: int
) -> None:
    """After a 500, and where kubectl does not say the code, it may have been made: look, and again, five times."""
    with door_of(at_rest, tmp_path, client) as door:
        since = at_rest.position()
        with webhook(at_rest, only_for_real(lambda _request: denied("out of order", code))):
            report = applied(door)
        assert report.items[0].status is ApplyStatus.FAILED
        assert "out of order" in report.detail
        assert [event.status for event in at_rest.asked(since)] == [code] * asked
        assert door.receipts() == 0
    assert set(at_rest.ours().values()) == {BEFORE}


@pytest.mark.parametrize("code", [429, 500])
def test_the_api_server_says_no_to_the_dry_run(at_rest: Stage, tmp_path: Path, code: int) -> None:
    with door_of(at_rest, tmp_path, "api", request_timeout_s=1.5) as door:
        since = at_rest.position()
        with webhook(at_rest, lambda request: denied("out of order", code) if request["dryRun"] else allowed()):
            refused(door, since, BlockReason.EFFECT_UNKNOWN, "")
