"""TLS: who is trusted, who is not, and what is said then."""

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.cluster_adapters.certificates import authority, certificate
from tests.cluster_adapters.clients import POD, POD_BODY, kubeconfig, reading
from tests.cluster_adapters.hostile_server import HOST, answer, hostile_server

from modekeeper.model.cluster import ClusterConfigError, ClusterUnreachableError

OK = answer(200, POD_BODY)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("pki"))


def get(tmp_path: Path, server: Path, **cluster: Any) -> Any:
    with (
        hostile_server(OK, certificate=server) as listening,
        reading(kubeconfig(tmp_path / "config", listening.url, cluster=cluster)) as reader,
    ):
        return reader.get(POD)


def test_a_server_is_trusted_through_the_authority_of_the_kubeconfig(ca: Path, tmp_path: Path) -> None:
    server = certificate(ca, "server")
    assert get(tmp_path, server, **{"certificate-authority": str(ca)}) == POD_BODY
    data = base64.b64encode(ca.read_bytes()).decode()
    assert get(tmp_path, server, **{"certificate-authority-data": data}) == POD_BODY


def test_what_is_not_trusted_is_one_line_and_nothing_is_sent(ca: Path, tmp_path: Path) -> None:
    server, expired = certificate(ca, "server"), certificate(ca, "expired", days=-1)
    named = certificate(ca, "named", names="DNS:api.example.com")
    other = authority(tmp_path / "other")
    rows: list[tuple[Path, dict[str, Any], str]] = [
        (server, {}, "there is none, so that the machine's were used"),
        (server, {"certificate-authority": str(other)}, r"Correct the certificate-authority in .*config"),
        (expired, {"certificate-authority": str(ca)}, "certificate has expired. Let its certificate be renewed"),
        (named, {"certificate-authority": str(ca)}, "or add tls-server-name"),
        (server, {"certificate-authority": str(ca), "tls-server-name": "x"}, "or add tls-server-name"),
    ]
    for presented, cluster, says in rows:
        with (
            hostile_server(OK, certificate=presented) as listening,
            reading(kubeconfig(tmp_path / "config", listening.url, cluster=cluster)) as reader,
        ):
            with pytest.raises(ClusterUnreachableError, match=says) as caught:
                reader.get(POD)
            assert "is not trusted" in str(caught.value)
            assert listening.requests == []
            assert listening.connections == 1


def test_another_name_may_be_expected_and_no_trust_be_asked_for(ca: Path, tmp_path: Path) -> None:
    named = certificate(ca, "named", names="DNS:api.example.com")
    trusted = {"certificate-authority": str(ca), "tls-server-name": "api.example.com"}
    assert get(tmp_path, named, **trusted) == POD_BODY
    assert get(tmp_path, named, **{"insecure-skip-tls-verify": True}) == POD_BODY


def test_a_server_without_tls_where_tls_is_meant(tmp_path: Path) -> None:
    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    listening = socket.create_server((HOST, 0))
    thread = threading.Thread(target=serve)
    thread.start()
    path = kubeconfig(tmp_path / "config", f"https://{HOST}:{listening.getsockname()[1]}")
    with (
        reading(path) as reader,
        pytest.raises(ClusterUnreachableError, match=r"could not agree on TLS: .*\. Look at"),
    ):
        reader.get(POD)
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_an_authority_that_is_none_is_a_defect_of_the_kubeconfig(tmp_path: Path) -> None:
    bad = tmp_path / "ca.crt"
    bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    path = kubeconfig(tmp_path / "config", f"https://{HOST}:1", cluster={"certificate-authority": str(bad)})
    with hostile_server(OK) as listening:
        path = kubeconfig(
            tmp_path / "config", f"https://{HOST}:{listening.port}", cluster={"certificate-authority": str(bad)}
        )
        with reading(path) as reader, pytest.raises(ClusterConfigError, match="is no certificate"):
            reader.get(POD)


@contextmanager
def asking_for_certificates(ca: Path, server: Path) -> Iterator[tuple[int, list[Any]]]:
    """A server that answers only who shows a certificate of the authority, and remembers whose it was."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    seen: list[Any] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
                    seen.append(wrapped.getpeercert())
                    wrapped.recv(65536)
                    OK(wrapped)

    listening = socket.create_server((HOST, 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], seen
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def test_a_client_certificate_is_shown_from_data_and_from_files(ca: Path, tmp_path: Path) -> None:
    me = certificate(ca, "me", subject="/CN=me")
    pair = me.with_suffix(".crt"), me.with_suffix(".key")
    data = [base64.b64encode(path.read_bytes()).decode() for path in pair]
    with asking_for_certificates(ca, certificate(ca, "server")) as (port, seen):
        for user in (
            {"client-certificate": str(pair[0]), "client-key": str(pair[1])},
            {"client-certificate-data": data[0], "client-key-data": data[1]},
        ):
            path = kubeconfig(
                tmp_path / "config", f"https://{HOST}:{port}", cluster={"certificate-authority": str(ca)}, user=user
            )
            with reading(path) as reader:
                assert reader.get(POD) == POD_BODY
        assert [each["subject"] for each in seen] == [((("commonName", "me"),),)] * 2


def test_a_certificate_and_a_key_that_are_no_pair(ca: Path, tmp_path: Path) -> None:
    one, two = certificate(ca, "one"), certificate(ca, "two")
    user = {"client-certificate": str(one.with_suffix(".crt")), "client-key": str(two.with_suffix(".key"))}
    cluster = {"certificate-authority": str(ca)}
    with hostile_server(OK, certificate=one) as listening:
        path = kubeconfig(tmp_path / "config", listening.url, cluster=cluster, user=user)
        with reading(path) as reader, pytest.raises(ClusterConfigError, match="cannot be used together"):
            reader.get(POD)


@contextmanager
def proxy(status: str = "200 Connection established") -> Iterator[tuple[int, list[bytes]]]:
    """An HTTP proxy that connects to where it is asked to, whatever the name, on loopback."""
    listening = socket.create_server((HOST, 0))
    asked: list[bytes] = []
    opened: list[socket.socket] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                opened.append(near)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += near.recv(1)
                asked.append(head)
                near.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
                if status.startswith("200"):
                    far = socket.create_connection((HOST, int(head.split(b" ")[1].rpartition(b":")[2])))
                    opened.append(far)
                    threading.Thread(target=pump, args=(near, far), daemon=True).start()
                    threading.Thread(target=pump, args=(far, near), daemon=True).start()
                else:
                    near.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1], asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for each in opened:
            each.close()


def test_a_proxy_is_asked_to_connect_and_sees_nothing_else(ca: Path, tmp_path: Path) -> None:
    server = certificate(ca, "proxied", names="DNS:api.example.com")
    with hostile_server(OK, certificate=server) as listening, proxy() as (port, asked):
        url = f"https://api.example.com:{listening.port}"
        for cluster, environment in (
            ({"proxy-url": f"http://u:p@{HOST}:{port}"}, {}),
            ({}, {"HTTPS_PROXY": f"http://u:p@{HOST}:{port}"}),
        ):
            path = kubeconfig(tmp_path / "config", url, cluster={"certificate-authority": str(ca), **cluster})
            with reading(path, environment=environment) as reader:
                assert reader.get(POD) == POD_BODY
    expected = f"CONNECT api.example.com:{listening.port} HTTP/1.1\r\nHost: api.example.com:{listening.port}\r\n"
    assert asked == [f"{expected}Proxy-Authorization: Basic dTpw\r\n\r\n".encode()] * 2


def test_a_proxy_that_refuses_is_one_line(tmp_path: Path) -> None:
    with proxy("407 Proxy Authentication Required") as (port, _):
        cluster = {"proxy-url": f"http://u:secret-word@{HOST}:{port}"}
        path = kubeconfig(tmp_path / "config", "https://api.example.com:6443", cluster=cluster)
        with reading(path) as reader, pytest.raises(ClusterUnreachableError, match="answered 407") as caught:
            reader.get(POD)
    assert "secret-word" not in str(caught.value)


def test_nobody_there_and_no_such_name(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    rows = {f"http://{HOST}:{port}": "refused the connection", "https://nobody.invalid:6443": "does not resolve"}
    for server, says in rows.items():
        path = kubeconfig(tmp_path / "config", server)
        with reading(path) as reader, pytest.raises(ClusterUnreachableError, match=says):
            reader.get(POD)
