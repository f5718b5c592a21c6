"""The kubectl reader against programs that answer, fail, hang and lie as a kubectl may."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.cluster_adapters.clients import POD, POD_BODY, TOKEN, TRAINER, StandingClock, kubeconfig, reading

from modekeeper.cluster.memory import PODS
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.cluster import (
    AccessQuestion,
    ClusterAnswerError,
    ClusterConfigError,
    ClusterUnreachableError,
    LogQuestion,
    ObjectRef,
)
from modekeeper.model.errors import ModeKeeperError

NEVER = threading.Event()
ONCE = LogQuestion(namespace="research", pod="p", container="main")


class Fake:
    """A kubectl of a few lines of Python, and what it was run with."""

    def __init__(self, folder: Path, body: str) -> None:
        self.program = folder / "my kubectl"
        self._runs = folder / "runs"
        told = (
            "import json, os, sys, time\n"
            f"with open({str(self._runs)!r}, 'a') as f: print(json.dumps(sys.argv[1:]), file=f)\n"
            f"n = sum(1 for _ in open({str(self._runs)!r}))\n"
        )
        self.program.write_text(f"#!{sys.executable}\n{told}{body}\n")
        self.program.chmod(0o700)
        self.config = kubeconfig(folder / "config", "https://h:6443")
        self.environment = {"KUBECTL": str(self.program), "PATH": "/usr/bin:/bin"}

    @property
    def runs(self) -> list[list[str]]:
        return [json.loads(line) for line in self._runs.read_text().splitlines()]

    def reading(self, **options: Any) -> Any:
        return reading(self.config, environment=self.environment, client="kubectl", **options)


def printing(body: Any) -> str:
    return f"print({json.dumps(body)!r})"


def failing(stderr: str, code: int = 1) -> str:
    return f"sys.stderr.write({stderr!r}); sys.exit({code})"


class Row(NamedTuple):
    body: str
    error: type[ModeKeeperError]
    says: str
    status: int | None = None
    runs: int = 1


ROWS: dict[str, Row] = {
    "not found": Row(
        failing('Error from server (NotFound): pods "x" not found\n'), ClusterAnswerError, 'NotFound: pods "x"', 404
    ),
    "forbidden": Row(failing("Error from server (Forbidden): no\n"), ClusterAnswerError, "403 Forbidden: no", 403),
    "after a warning": Row(
        failing("Warning: old\nError from server (Conflict): modified\n"), ClusterAnswerError, "409 Conflict: mod", 409
    ),
    "invalid": Row(
        failing('The Deployment "x" is invalid: spec.a: Required\n'),
        ClusterAnswerError,
        'Deployment "x" is invalid',
        422,
    ),
    "invalid in several ways": Row(
        failing('The Deployment "x" is invalid: \n* spec.a: Required\n* spec.b: Required\n'),
        ClusterAnswerError,
        r'Deployment "x" is invalid: \[spec.a: Required, spec.b: Required\]',
        422,
    ),
    "bad request": Row(failing("The request is invalid: patch: x\n"), ClusterAnswerError, "422 Invalid: patch: x", 422),
    "busy": Row(failing("Error from server (TooManyRequests): slow\n"), ClusterAnswerError, "429", 429, 5),
    "server error": Row(failing("Error from server: boom\n"), ClusterAnswerError, "500 InternalError: boom", 500, 5),
    "internal error": Row(failing("Error from server (InternalError): boom\n"), ClusterAnswerError, "boom", 500, 5),
    "unknown reason": Row(failing("Error from server (Strange): boom\n"), ClusterAnswerError, "500 Strange", 500, 5),
    "logged out": Row(
        failing("error: You must be logged in to the server (Unauthorized)\n"), ClusterAnswerError, "401 Unauth", 401
    ),
    "refused": Row(
        failing("The connection to the server h:1 was refused - did you specify the right host or port?\n"),
        ClusterUnreachableError,
        "kubectl did not get pods .*: The connection to the server h:1 was refused",
        runs=5,
    ),
    "not trusted": Row(
        failing("Unable to connect to the server: tls: failed to verify certificate: x509: expired\n"),
        ClusterUnreachableError,
        "x509: expired",
    ),
    "no such host": Row(
        failing("Unable to connect to the server: dial tcp: lookup h: no such host\n"),
        ClusterUnreachableError,
        "lookup h",
    ),
    "a failing login": Row(
        failing("Unable to connect to the server: getting credentials: exec: executable lab failed with exit code 1\n"),
        ClusterConfigError,
        "kubectl could not log in: .*executable lab failed.* Log in at a terminal first",
    ),
    "no such context": Row(
        failing('error: context "x" does not exist\n'), ClusterConfigError, "cannot use its configuration: context"
    ),
    "no word": Row(failing("", 3), ClusterUnreachableError, "it did not say why", runs=5),
    "controls": Row(failing("\x1b[2Jbad\u202e\n"), ClusterUnreachableError, r"\\u001b\[2Jbad\\u202e", runs=5),
    "no JSON": Row("print('hello')", ClusterUnreachableError, "printed no JSON. Look at .* KUBECTL"),
    "no object": Row("print('[1]')", ClusterUnreachableError, "no object of Kubernetes"),
    "nested without end": Row("print('[' * 1000000)", ClusterUnreachableError, "printed no JSON"),
    "100 MB": Row("sys.stdout.write(' ' * 100_000_000)", ClusterUnreachableError, "larger than 64 MiB"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_kubectl_says_is_one_line(row: Row, tmp_path: Path) -> None:
    fake = Fake(tmp_path, row.body)
    with fake.reading() as reader, pytest.raises(ModeKeeperError, match=row.says) as caught:
        reader.get(POD)
    assert type(caught.value) is row.error
    assert getattr(caught.value, "status", None) == row.status
    assert str(caught.value).isprintable()
    assert len(fake.runs) == row.runs


def test_a_refused_patch_is_told_in_the_words_of_the_api_server(tmp_path: Path) -> None:
    """kubectl leaves out the group: two clients would give two reports of one answer."""
    fake = Fake(tmp_path, failing('The Deployment "trainer" is invalid: spec.a: Required\n'))
    with fake.reading() as reader, pytest.raises(ClusterAnswerError) as caught:
        reader.dry_run(TRAINER, {})
    assert caught.value.detail == 'Deployment.apps "trainer" is invalid: spec.a: Required'


def test_it_is_asked_with_a_word_list(tmp_path: Path) -> None:
    review = {"status": {"allowed": True}}
    fake = Fake(tmp_path, f"print({json.dumps(review)!r} if 'create' in sys.argv else {json.dumps(POD_BODY)!r})")
    awkward = {"metadata": {"annotations": {"a": "$(touch x); \"q\" 'p'\n--flag"}}}
    with fake.reading() as reader:
        reader.get(POD)
        assert reader.can_i(AccessQuestion(verb="get", group="", resource="pods", namespace="--all")).allowed
        reader.dry_run(TRAINER, awkward)
        reader.dry_run(ObjectRef(PODS, "research", "--force"), {})
        list(reader.logs(ONCE, NEVER))
    flags = [f"--kubeconfig={fake.config}", "--request-timeout=20s"]
    get, create, patch, odd, log = fake.runs
    assert get == [*flags, "get", "--raw", "/api/v1/namespaces/research/pods/trainer-0"]
    access = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert create == [*flags, "create", "--raw", access, "--filename=-"]
    assert patch[:4] == [*flags, "patch", "--dry-run=server"]
    assert json.loads(next(word for word in patch if word.startswith("--patch=")).removeprefix("--patch=")) == awkward
    assert patch[-3:] == ["--", "deployments.v1.apps", "trainer"]
    assert odd[-3:] == ["--", "pods.v1.", "--force"]
    assert "--dry-run=server" in odd[: odd.index("--")]
    assert log[1:] == ["--request-timeout=0", "get", "--raw", "/api/v1/namespaces/research/pods/p/log?container=main"]


def test_fields_it_only_warns_of_are_refused(tmp_path: Path) -> None:
    body = "sys.stderr.write('Warning: unknown field \"spec.nonsense\"\\nWarning: spec.old is deprecated\\n')\n"
    fake = Fake(tmp_path, body + printing(POD_BODY))
    with fake.reading() as reader:
        with pytest.raises(
            ClusterAnswerError, match=r'422 Invalid: strict decoding error: unknown field "spec\.nonsense"'
        ):
            reader.dry_run(POD, {})
        assert reader.get(POD) == POD_BODY
    fake = Fake(tmp_path, "sys.stderr.write('Warning: spec.old is deprecated\\n')\n" + printing(POD_BODY))
    with fake.reading() as reader:
        assert reader.dry_run(POD, {}).warnings == ("spec.old is deprecated",)


def test_one_that_hangs_ends_at_the_deadline_with_what_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    body = f"import subprocess; c = subprocess.Popen(['sleep', '60']); f = open({str(child)!r}, 'w')"
    body += "; f.write(str(c.pid)); f.close(); c.wait()"
    fake = Fake(tmp_path, body)
    began_s = time.monotonic()
    with fake.reading(timeout_s=0.5) as reader, pytest.raises(ClusterUnreachableError, match=r"within 0\.5 s"):
        reader.get(POD)
    assert time.monotonic() - began_s < 10
    line = Path(f"/proc/{child.read_text()}/cmdline")
    until_s = time.monotonic() + 5
    while line.exists() and line.read_bytes() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not line.exists() or not line.read_bytes()


def test_what_passes_is_asked_again(tmp_path: Path) -> None:
    clock = StandingClock()
    body = f"if n < 3: {failing('Error from server (ServiceUnavailable): x')}\n" + printing(POD_BODY)
    with Fake(tmp_path, body).reading(clock=clock) as reader:
        assert reader.get(POD) == POD_BODY
    assert len(clock.waits) == 2


def test_streams_come_as_they_are_written_and_end_when_stopped(tmp_path: Path) -> None:
    body = "sys.stdout.buffer.write(b'one\\n\\xff'); sys.stdout.flush(); time.sleep(60)"
    stop = threading.Event()
    with Fake(tmp_path, body).reading() as reader:
        chunks = reader.logs(ONCE, stop)
        assert next(chunks) == b"one\n\xff"
        began_s = time.monotonic()
        threading.Timer(0.2, stop.set).start()
        assert list(chunks) == []
        assert time.monotonic() - began_s < 5


def test_a_stream_that_fails_says_why_after_what_came(tmp_path: Path) -> None:
    body = "print('one', flush=True)\n" + failing('Error from server (NotFound): pods "p" not found\n')
    with Fake(tmp_path, body).reading() as reader:
        chunks = reader.logs(ONCE, NEVER)
        assert next(chunks) == b"one\n"
        with pytest.raises(ClusterAnswerError, match="404"):
            list(chunks)


def test_a_closed_one_ends_what_runs(tmp_path: Path) -> None:
    with Fake(tmp_path, "time.sleep(60)").reading() as reader:
        threading.Timer(0.3, reader.close).start()
        began_s = time.monotonic()
        with pytest.raises(ClusterUnreachableError, match="closed"):
            reader.get(POD)
        assert time.monotonic() - began_s < 10


def test_without_a_kubectl_it_is_said_what_to_do(tmp_path: Path) -> None:
    choice = ClusterChoice(client="kubectl", kubeconfig=kubeconfig(tmp_path / "config", "https://h"))
    for environment in ({"PATH": str(tmp_path)}, {"KUBECTL": "/no/such/kubectl", "PATH": "/usr/bin"}):
        with pytest.raises(ClusterConfigError, match="Install it, name one with KUBECTL, or use --cluster-client api"):
            open_reader(choice, clock=StandingClock(), environment=environment)
    (tmp_path / "kubectl").write_text("no program")
    (tmp_path / "kubectl").chmod(0o700)
    with (
        reading(choice.kubeconfig or tmp_path, environment={"PATH": str(tmp_path)}, client="kubectl") as reader,
        pytest.raises(ClusterConfigError, match="could not be started"),
    ):
        reader.get(POD)


def test_logins_only_kubectl_knows_are_left_to_it(tmp_path: Path) -> None:
    fake = Fake(tmp_path, printing(POD_BODY))
    kubeconfig(fake.config, "https://h:6443", user={"auth-provider": {"name": "oidc"}})
    with fake.reading() as reader:
        assert reader.get(POD) == POD_BODY
        assert reader.context.user == "me"
        assert TOKEN not in str(reader.context)
