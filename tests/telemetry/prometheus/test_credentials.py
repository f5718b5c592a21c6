"""Who we are to the server: sent where it belongs, shown nowhere."""

import base64
import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.telemetry.feeding import Running, rows_of
from tests.telemetry.prometheus.fake_server import StandingClock, answer, fake_server
from tests.telemetry.prometheus.memory_server import T0_MS, body_of, choice, pod

from modekeeper.model.errors import BadInputError
from modekeeper.telemetry.prometheus.choice import PrometheusChoice
from modekeeper.telemetry.prometheus.credentials import Credentials
from modekeeper.telemetry.prometheus.opening import open_prometheus
from modekeeper.telemetry.prometheus.transport import checked_url
from modekeeper.telemetry.recorder import RawRecorder

OK = answer(200, body_of([({"__name__": "t_ms", **pod("trainer-0")}, [(T0_MS / 1000, 5)])]))
SECRET = "s3cret-Token.with_odd~chars="  # noqa: S105 - opens nothing
TOKEN, USER = "MODEKEEPER_PROMETHEUS_TOKEN_FILE", "MODEKEEPER_PROMETHEUS_USERNAME"
PASSWORD, CA = "MODEKEEPER_PROMETHEUS_PASSWORD_FILE", "MODEKEEPER_PROMETHEUS_CA_FILE"


def asked(url: str, **more: Any) -> PrometheusChoice:
    return choice("step_time_ms=t_ms", gpu=False, url=url, window_s=15, settle_s=0, **more)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_token_goes_into_the_header_and_nowhere_else(tmp_path: Path, ending: str) -> None:
    environment = {TOKEN: written(tmp_path / "token", (SECRET + ending).encode())}
    recorder = RawRecorder(tmp_path / "raw.jsonl")
    with fake_server(OK, answer(401, f"{SECRET} is wrong".encode())) as server:
        source = open_prometheus(
            asked(server.url), clock=StandingClock(T0_MS / 1000), environment=environment, recorder=recorder
        )
        assert len(rows_of(source.blocks(Running()))) == 1
        position = source.position()
        source.resume(position | {"next_ms": T0_MS})
        with pytest.raises(BadInputError) as caught:
            list(source.blocks(Running()))
        source.close()
    recorder.close()
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {SECRET}"] * 2
    assert SECRET not in "".join(request.target + request.body for request in server.requests)
    everything = [str(caught.value), source.describe, repr(source), *source.notes, json.dumps(position)]
    assert SECRET not in "\n".join(everything)
    # What the server says itself is recorded as it is; no request is.
    recorded = [json.loads(line) for line in (tmp_path / "raw.jsonl").read_text().splitlines()]
    assert SECRET not in json.dumps([{k: v for k, v in line.items() if k != "body"} for line in recorded])


def test_a_token_is_read_anew_for_each_question(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    with fake_server(answer(503), OK) as server:

        class Renews(StandingClock):
            def sleep(self, duration_s: float, stop: Any) -> bool:
                path.write_text("second")
                return super().sleep(duration_s, stop)

        source = open_prometheus(asked(server.url), clock=Renews(T0_MS / 1000), environment={TOKEN: str(path)})
        list(source.blocks(Running()))
        source.close()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


def test_a_password_goes_into_the_header(tmp_path: Path) -> None:
    environment = {USER: "mk", PASSWORD: written(tmp_path / "password", "pä ss:wörd\n".encode())}
    with fake_server(OK) as server:
        source = open_prometheus(asked(server.url), clock=StandingClock(T0_MS / 1000), environment=environment)
        list(source.blocks(Running()))
        source.close()
    kind, _, text = server.requests[0].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(text).decode()) == ("Basic", "mk:pä ss:wörd")


def test_a_token_is_not_sent_to_where_a_redirect_leads(tmp_path: Path) -> None:
    environment = {TOKEN: written(tmp_path / "token", SECRET.encode())}
    with fake_server(OK) as other, fake_server(answer(307, Location=other.url + "/api/v1/query_range")) as server:
        source = open_prometheus(asked(server.url), clock=StandingClock(T0_MS / 1000), environment=environment)
        with pytest.raises(BadInputError, match="redirects to"):
            list(source.blocks(Running()))
        source.close()
    assert other.requests == []


BAD: list[Any] = [
    pytest.param({TOKEN: "{missing}"}, "cannot be read: no such file", id="no token file"),
    pytest.param({TOKEN: "{folder}"}, "cannot be read", id="a folder"),
    pytest.param({TOKEN: "{empty}"}, "holds no secret", id="an empty token"),
    pytest.param({TOKEN: "{lines}"}, "holds no secret", id="two lines"),
    pytest.param({TOKEN: "{spaced}"}, "holds no token", id="a header of its own"),
    pytest.param({TOKEN: "{foreign}"}, "holds no token", id="characters that no header has"),
    pytest.param({TOKEN: "{binary}"}, "not UTF-8", id="binary"),
    pytest.param({TOKEN: "{long}"}, "holds no secret", id="a megabyte"),
    pytest.param({TOKEN: "{good}", USER: "mk", PASSWORD: "{good}"}, "contradict each other", id="token and password"),
    pytest.param({USER: "mk"}, "go together", id="user without password"),
    pytest.param({PASSWORD: "{good}"}, "go together", id="password without user"),
    pytest.param({USER: "m:k", PASSWORD: "{good}"}, "no user name", id="a colon in the name"),
    pytest.param({CA: "{missing}"}, "no such file", id="no authority"),
    pytest.param({CA: "{good}"}, "no certificates in PEM", id="an authority that is none"),
]


@pytest.mark.parametrize(("variables", "words"), BAD)
def test_credentials_that_cannot_be_used(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    contents = {
        "good": SECRET.encode(),
        "empty": b"\n",
        "lines": SECRET.encode() + b"\nX-Evil: 1\n",
        "spaced": SECRET.encode() + b" more",
        "foreign": f"{SECRET}ü".encode(),
        "binary": SECRET.encode() + b"\xff\xfe",
        "long": SECRET.encode() * 50_000,
    }
    paths = {name: written(tmp_path / name, data) for name, data in contents.items()}
    paths |= {"missing": str(tmp_path / "missing"), "folder": str(tmp_path)}
    environment = {name: value.format(**paths) for name, value in variables.items()}
    with fake_server(OK) as server:

        def read() -> None:
            source = open_prometheus(asked(server.url), clock=StandingClock(T0_MS / 1000), environment=environment)
            list(source.blocks(Running()))

        with pytest.raises(BadInputError) as caught:
            read()
    assert server.requests == []
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_goes_unencrypted_is_said(tmp_path: Path) -> None:
    environment = {TOKEN: written(tmp_path / "token", SECRET.encode())}

    def notes(url: str, environment: dict[str, str]) -> tuple[str, ...]:
        return open_prometheus(asked(url), clock=StandingClock(0), environment=environment).notes

    assert "unencrypted" in notes("http://prometheus.monitoring:9090", environment)[0]
    assert notes("http://prometheus.monitoring:9090", {}) == ()
    assert notes("https://prometheus.monitoring:9090", environment) == ()
    assert notes("http://127.0.0.1:9090", environment) == ()
    assert notes("http://localhost:9090", environment) == ()
    assert notes("http://[::1]:9090", environment) == ()
    assert "unencrypted" in notes("http://127.evil.example", environment)[0]
    assert "unencrypted" in notes("http://localhost.evil.example", environment)[0]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "prometheus:9090",
        "ftp://prometheus",
        "http://",
        "http:///path",
        "http://host:port",
        "http://host:99999",
        "http://mk:s3cret@host",
        "http://s3cret@host",
        "http://host/?token=s3cret",
        "http://host/#s3cret",
        "http://host/a b",
        "http://host/\n",
        "http://ho\\st",
        "http://höst",
        "http://[::1",
        "http://host/" + "x" * 3000,
    ],
)
def test_an_address_that_cannot_be_used_is_one_clear_line(url: str) -> None:
    with pytest.raises(BadInputError) as caught:
        checked_url(url)
    assert str(caught.value).isprintable()
    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"step_s": 0.5}, "step of 0.5 s is out of range"),
        ({"step_s": float("nan")}, "out of range"),
        ({"step_s": 1.00001}, "no whole number of milliseconds"),
        ({"window_s": 1}, "window of 1 s is out of range"),
        ({"window_s": 1e9}, "window of 1e"),
        ({"settle_s": -1}, "settling time"),
        ({"timeout_s": 0}, "timeout of 0 s"),
        ({"workload": None}, "whose pods"),
        ({"gpu": False, "metrics": ()}, "no metric to ask"),
        ({"namespace": 'ml"} or vector(1) #'}, "no namespace name"),
        ({"namespace": "a.b"}, "no namespace name"),
        ({"workload": "tra|ner"}, "no workload name"),
        ({"workload": ".*"}, "no workload name"),
        ({"pods": ("ok-0", 'x"')}, "no pod name"),
        ({"container": "a\nb"}, "no container name"),
        ({"metrics": tuple(f"loss=m{n}" for n in range(65))}, "too many"),
    ],
)
def test_a_choice_that_cannot_be_used_is_one_clear_line(more: dict[str, Any], words: str) -> None:
    given = {"url": "http://h", "namespace": "ml", "workload": "trainer", "metrics": ("loss=l",)} | more
    with pytest.raises(BadInputError) as caught:
        open_prometheus(PrometheusChoice(**given), clock=StandingClock(0), environment={})
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_exact_pods_are_asked_for_by_name() -> None:
    with fake_server(OK) as server:
        exact = asked(server.url, pods=("trainer-1", "trainer.a-0", "trainer-0"), container="main")
        source = open_prometheus(exact, clock=StandingClock(T0_MS / 1000), environment={})
        list(source.blocks(Running()))
        source.close()
    assert r'pod=~"trainer-0|trainer-1|trainer\\.a-0",container="main"' in server.requests[0].form["query"]
    assert source.counters().dropped_by_reason == {"wrong_shape": 1}, "that series names no container"


def test_credentials_do_not_show_themselves(tmp_path: Path) -> None:
    path = written(tmp_path / "token", SECRET.encode())
    credentials = Credentials({TOKEN: path})
    assert repr(credentials) == "Credentials(token)"
    assert SECRET not in str(vars(credentials))


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ssl.SSLContext]:
    """Makes a server's TLS context whose certificate vouches for itself, in ``<folder>/<name>.pem``."""

    def made(name: str) -> ssl.SSLContext:
        folder = tmp_path_factory.getbasetemp()
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
        names = ["-subj", "/CN=prometheus", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        _openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *files, *names
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return context

    return made


def test_the_named_authority_is_trusted_and_no_other(
    authority: Callable[[str], ssl.SSLContext], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    ours, _ = authority("ours"), authority("others")
    with fake_server(OK, tls=ours) as server:
        for name, trusted in (("ours", True), ("others", False), (None, False)):
            environment = {} if name is None else {CA: str(folder / f"{name}.pem")}
            clock = StandingClock(T0_MS / 1000)
            source = open_prometheus(asked(server.url), clock=clock, environment=environment)
            if trusted:
                assert len(rows_of(source.blocks(Running()))) == 1
            else:
                with pytest.raises(BadInputError, match="is not trusted") as caught:
                    list(source.blocks(Running()))
                assert clock.waits == [], "not tried again"
                assert CA in str(caught.value)
            source.close()
