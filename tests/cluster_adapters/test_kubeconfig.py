"""Which context is meant, as kubectl decides it, and every defect as one line without a secret in it."""

import base64
import json
import os
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cluster_adapters.clients import TOKEN, kubeconfig

from modekeeper.cluster.access.finding import find_access, find_context
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.model.errors import ModeKeeperError

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def write(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def part(name: str, server: str, *, current: bool = False, **user: Any) -> dict[str, Any]:
    return {
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user or {"token": f"{name}-token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        **({"current-context": name} if current else {}),
    }


def joined(*paths: Path) -> dict[str, str]:
    return {"KUBECONFIG": os.pathsep.join(str(path) for path in paths)}


def test_the_first_file_to_name_something_wins(tmp_path: Path) -> None:
    one = write(tmp_path / "one", part("a", "https://first:1"))
    two = write(tmp_path / "two", part("a", "https://second:2", current=True) | {"users": [{"name": "b", "user": {}}]})
    three = write(tmp_path / "three", part("b", "https://third:3", current=True))
    access = find_access(joined(one, two, three))
    assert (access.context.name, access.context.server) == ("a", "https://first:1")
    assert access.login.token is not None
    assert access.login.token.reveal() == "a-token"
    # The user b of the second file is used whole: the third one's token is not mixed in.
    other = find_access(joined(one, two, three), context="b")
    assert (other.context.server, other.login.token) == ("https://third:3", None)


def test_missing_files_are_passed_over_and_an_option_is_used_alone(tmp_path: Path) -> None:
    found = write(tmp_path / "found", part("a", "https://first:1", current=True))
    other = write(tmp_path / "other", part("b", "https://other:1", current=True))
    assert find_context(joined(tmp_path / "missing", found)).name == "a"
    assert find_context({"KUBECONFIG": f":{found}::"}).name == "a"
    assert find_context(joined(found), other).name == "b"
    with pytest.raises(ClusterConfigError, match=r"There is no kubeconfig .*missing\. Name one that exists"):
        find_context(joined(found), tmp_path / "missing")


def test_home_is_looked_at_last(tmp_path: Path) -> None:
    write(tmp_path / ".kube" / "config", part("home", "https://home:1", current=True))
    assert find_context({"HOME": str(tmp_path)}).name == "home"
    found = write(tmp_path / "found", part("a", "https://first:1", current=True))
    assert find_context({"HOME": str(tmp_path), **joined(found)}).name == "a"
    with pytest.raises(ClusterConfigError, match="There is no kubeconfig"):
        find_context({"HOME": str(tmp_path), **joined(tmp_path / "missing")})


def test_paths_are_relative_to_their_own_file(tmp_path: Path) -> None:
    cluster = part("a", "https://first:1", current=True)
    cluster["clusters"][0]["cluster"]["certificate-authority"] = "pki/ca.crt"
    del cluster["users"]
    one = write(tmp_path / "x" / "one", cluster)
    user = {"client-certificate": "me.crt", "client-key": "me.key", "tokenFile": "token"}
    two = write(tmp_path / "y" / "two", {"users": [{"name": "a", "user": user}]})
    for path in ("x/pki/ca.crt", "y/me.crt", "y/me.key"):
        write(tmp_path / path, f"{path}\n{PEM}")
    access = find_access(joined(one, two))
    assert access.server.ca_pem == f"x/pki/ca.crt\n{PEM}"
    assert access.login.certificate is not None
    assert access.login.certificate.reveal() == f"y/me.crt\n{PEM}"
    assert access.login.token_file == tmp_path / "y" / "token"


def test_data_goes_before_files_and_a_token_file_before_a_token(tmp_path: Path) -> None:
    config = part("a", "https://first:1", current=True, token=TOKEN, tokenFile="t")
    config["clusters"][0]["cluster"] |= {
        "certificate-authority": "missing",
        "certificate-authority-data": base64.b64encode(PEM.encode()).decode(),
    }
    access = find_access(joined(write(tmp_path / "one", config)))
    assert access.server.ca_pem == PEM
    assert (access.login.token, access.login.token_file) == (None, tmp_path / "t")


SERVERS: dict[str, tuple[dict[str, Any], str]] = {
    "https://host": ({}, "https://host:443"),
    "https://host:6443/": ({}, "https://host:6443"),
    "https://rancher.example.com/k8s/clusters/c-1": ({}, "https://rancher.example.com:443"),
    "host:6443": ({"insecure-skip-tls-verify": True}, "https://host:6443"),
    "https://[fd00::1]:6443": ({}, "https://[fd00::1]:6443"),
    "http://localhost:8001": ({}, "http://localhost:8001"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_may_be_written_in_several_ways(server: str, tmp_path: Path) -> None:
    extra, origin = SERVERS[server]
    access = find_access({}, kubeconfig(tmp_path / "c", server, cluster=extra))
    assert access.context.server == origin
    assert access.server.base_path == ("/k8s/clusters/c-1" if "rancher" in server else "")


def test_names_that_are_null_or_empty_are_none(tmp_path: Path) -> None:
    text = """
apiVersion: v1
kind: Config
preferences: {}
current-context: lab
clusters: [{name: lab, cluster: {server: "https://h:1", extensions: null}}]
contexts: [{name: lab, context: {cluster: lab, user: me, namespace: ""}}]
users: [{name: me, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: null, env: null}}}]
"""
    access = find_access({}, write(tmp_path / "c", text))
    assert access.context.namespace == "default"
    assert access.login.plugin is not None
    assert (access.login.plugin.args, access.login.plugin.env) == ((), ())


class Defect(NamedTuple):
    document: Any
    says: str
    context: str | None = None


def lab(
    cluster: Mapping[str, Any] | None = None, user: Mapping[str, Any] | None = None, **others: Any
) -> dict[str, Any]:
    return {
        "clusters": [{"name": "lab", "cluster": {"server": "https://h:1"} if cluster is None else cluster}],
        "users": [{"name": "me", "user": user or {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}],
        "current-context": "lab",
        **others,
    }


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "args": [TOKEN]}
DEFECTS: dict[str, Defect] = {
    "no YAML": Defect(f"users: [{{token: {TOKEN}", r"is no YAML \(line \d\). Correct it"),
    "a tab": Defect(f"users:\n\t- token: {TOKEN}", r"is no YAML \(line 2\)"),
    "no mapping": Defect("just words", "holds no mapping"),
    "a list": Defect("- 1", "holds no mapping"),
    "nested without end": Defect("[" * 100_000, "is no YAML"),
    "a tag that makes objects": Defect("!!python/object/apply:os.system ['true']", "is no YAML"),
    "nothing at all": Defect("", "names no current context.*there is none"),
    "no current context": Defect(
        lab() | {"current-context": ""}, "names no current context. Name one with --context: lab."
    ),
    "a current context that is not there": Defect(
        lab() | {"current-context": "lob"}, r'one it has not: "lob". Did you mean "lab"\? Name one with --context: lab.'
    ),
    "a context that is not there": Defect(lab(), r'no context "lap". Did you mean "lab"\?', "lap"),
    "many contexts": Defect(
        lab(contexts=[{"name": f"c{number}", "context": {}} for number in range(30)]), "c15 and 22 more", "x"
    ),
    "a context without a cluster": Defect(lab(contexts=[{"name": "lab", "context": {}}]), "names no cluster"),
    "a context of nothing": Defect(lab(contexts=[{"name": "lab"}]), "names no cluster"),
    "a cluster that is not there": Defect(lab(clusters=[]), 'names the cluster "lab", which is not there'),
    "a user that is not there": Defect(
        lab(users=[{"name": "mee", "user": {}}]), r'names the user "me", which is not there. Did you mean "mee"\?'
    ),
    "no server": Defect(lab({}), "has no server"),
    "a server that is none": Defect(lab({"server": "https://"}), "no address like https://host:port"),
    "a server with a password": Defect(lab({"server": f"https://u:{TOKEN}@h"}), "no address like https://host:port"),
    "a server with a line break": Defect(lab({"server": "https://h\r\nX: y"}), "no address like https://host:port"),
    "a server with a strange port": Defect(lab({"server": "https://h:99999"}), "no address like https://host:port"),
    "a server of another kind": Defect(lab({"server": "ftp://h"}), "no address like https://host:port"),
    "credentials in the clear": Defect(lab({"server": "http://h"}, {"token": TOKEN}), "not sent to it in the clear"),
    "a number for a name": Defect("current-context: 5", "Expected `str | null`, got `int`.*needs quotes"),
    "a token that is a number": Defect(lab(user={"token": 12345678}), r"got `int` - at `\$.users\[0\].user.token`"),
    "users that are none": Defect(lab(users={"a": TOKEN}), "Expected `array | null`"),
    "a user without a name": Defect(lab(users=[{"user": {"token": TOKEN}}]), "missing required field `name`"),
    "no authority": Defect(
        lab({"server": "https://h", "certificate-authority": "ca.crt"}), "certificate-authority of .* no such file"
    ),
    "an authority that is none": Defect(
        lab({"server": "https://h", "certificate-authority-data": "AAAA"}), "certificate-authority-data .* PEM form"
    ),
    "data that is no base64": Defect(
        lab({"server": "https://h", "certificate-authority-data": TOKEN}), "certificate-authority-data .* base64"
    ),
    "trust and no trust": Defect(
        lab(
            {"server": "https://h", "certificate-authority-data": "LS0tLS1CRUdJTiA=", "insecure-skip-tls-verify": True}
        ),
        "both a certificate-authority and insecure-skip-tls-verify",
    ),
    "a certificate without a key": Defect(lab(user={"client-certificate-data": "LS0tLS1CRUdJTiA="}), "no client-key"),
    "a key without a certificate": Defect(lab(user={"client-key-data": "LS0tLS1CRUdJTiA="}), "no client-certificate"),
    "two ways to log in": Defect(lab(user={"token": TOKEN, "username": "u", "password": TOKEN}), "more than one of"),
    "an auth-provider": Defect(
        lab(user={"auth-provider": {"name": "oidc", "config": {"id-token": TOKEN}}}), '"oidc".*--cluster-client kubectl'
    ),
    "a token with a line break": Defect(lab(user={"token": f"{TOKEN}\nX: y"}), "no HTTP header can carry"),
    "somebody with a line break": Defect(lab(user={"as": "a\r\nb"}), "no HTTP header can carry"),
    "an old plugin": Defect(
        lab(user={"exec": EXEC | {"apiVersion": "client.authentication.k8s.io/v1alpha1"}}), "v1alpha1; .*kubectl"
    ),
    "a plugin of no version": Defect(lab(user={"exec": {"command": "x"}}), "apiVersion none"),
    "a plugin that asks": Defect(lab(user={"exec": EXEC | {"interactiveMode": "Always"}}), "Always"),
    "a plugin without a command": Defect(lab(user={"exec": EXEC | {"command": ""}}), "without a command"),
    "a proxy of another kind": Defect(
        lab({"server": "https://h", "proxy-url": f"socks5://u:{TOKEN}@p"}), "socks5 proxy.*--cluster-client kubectl"
    ),
    "a proxy that is none": Defect(lab({"server": "https://h", "proxy-url": f"{TOKEN}"}), "no http:// URL"),
    "a name that moves the text": Defect(lab() | {"current-context": "a\u202eb\x1b[2J\n"}, r"a\\u202eb\\u001b\[2J"),
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_one_line_that_names_the_file(defect: Defect, tmp_path: Path) -> None:
    path = write(tmp_path / "the-config", defect.document)
    with pytest.raises(ClusterConfigError, match=defect.says) as caught:
        find_access({}, path, defect.context)
    line = str(caught.value)
    assert "the-config" in line
    assert line.isprintable()
    assert TOKEN not in line
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


UNREADABLE: dict[str, str] = {
    "a folder": "is a directory",
    "not UTF-8": "is no UTF-8 text",
    "17 MiB": "larger than 16 MiB",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_file_that_cannot_be_read(what: str, tmp_path: Path) -> None:
    path = tmp_path / "the-config"
    if what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"\xff\xfe" if what == "not UTF-8" else b"#" * (17 * 2**20))
    with pytest.raises(ClusterConfigError, match=UNREADABLE[what]):
        find_access({}, path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_nobody_may_read(tmp_path: Path) -> None:
    path = write(tmp_path / "the-config", lab())
    path.chmod(0)
    with pytest.raises(ClusterConfigError, match="permission denied"):
        find_access({}, path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ClusterConfigError, match="names no current context"):
        find_access({}, tmp_path / "pipe")


def test_secrets_show_in_no_repr(tmp_path: Path) -> None:
    user = {"exec": EXEC | {"env": [{"name": "A", "value": TOKEN}]}}
    for each in ({"token": TOKEN}, {"username": "u", "password": TOKEN}, user):
        access = find_access({}, kubeconfig(tmp_path / "c", "https://h", user=each))
        assert TOKEN not in repr(access)
        assert TOKEN not in str(access)
        assert TOKEN not in repr(access.login)


def pod(tmp_path: Path) -> tuple[dict[str, str], Path]:
    account = tmp_path / "account"
    for name, text in (("token", "pod-token"), ("namespace", "research\n"), ("ca.crt", PEM)):
        write(account / name, text)
    return {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, account


def test_in_a_pod_its_service_account_is_used_where_there_is_no_kubeconfig(tmp_path: Path) -> None:
    environment, account = pod(tmp_path)
    access = find_access(environment, service_account=account)
    assert access.context.name is None
    assert (access.context.server, access.context.namespace) == ("https://[fd00::1]:443", "research")
    assert (access.login.token_file, access.server.ca_pem) == (account / "token", PEM)
    assert find_context(environment, service_account=account) == access.context
    home = write(tmp_path / ".kube" / "config", part("home", "https://home:1", current=True)).parent.parent
    assert find_context(environment | {"HOME": str(home)}, service_account=account).name == "home"


@pytest.mark.parametrize(
    ("change", "context", "says"),
    [
        ({"KUBERNETES_SERVICE_HOST": ""}, None, "this is no pod of a cluster. Name one with --kubeconfig"),
        ({"KUBERNETES_SERVICE_PORT": "x"}, None, "KUBERNETES_SERVICE_PORT"),
        ({}, "lab", 'no context "lab". Leave out --context'),
    ],
)
def test_a_pod_with_something_missing(change: dict[str, str], context: str | None, says: str, tmp_path: Path) -> None:
    environment, account = pod(tmp_path)
    with pytest.raises(ClusterConfigError, match=says):
        find_access(environment | change, None, context, service_account=account)
    (account / "ca.crt").unlink()
    with pytest.raises(ClusterConfigError):
        find_access(environment, None, None, service_account=account)


NO_PROXY: dict[str, bool] = {
    "": True,
    "*": False,
    "api.example.com": False,
    "example.com": False,
    ".example.com": False,
    "*.example.com": False,
    "xample.com": True,
    "other.com, api.example.com:6443": False,
    "api.example.com:443": True,
    "10.0.0.0/8": True,
}


@pytest.mark.parametrize("excluded", NO_PROXY)
def test_no_proxy_is_read_as_go_reads_it(excluded: str, tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://u:p%40@proxy:3128", "NO_PROXY": excluded}
    path = kubeconfig(tmp_path / "c", "https://api.example.com:6443")
    proxy = find_access(environment, path).server.proxy
    assert (proxy is not None) is NO_PROXY[excluded]
    if proxy is not None:
        assert (proxy.host, proxy.port) == ("proxy", 3128)
        assert proxy.authorization is not None
        assert proxy.authorization.reveal() == "Basic dTpwQA=="


def test_addresses_are_told_by_their_network_and_loopback_has_no_proxy(tmp_path: Path) -> None:
    environment = {"https_proxy": "proxy:3128", "no_proxy": "10.0.0.0/8"}
    for host, through in (("10.1.2.3", False), ("11.1.2.3", True), ("127.0.0.1", False), ("localhost", False)):
        access = find_access(environment, kubeconfig(tmp_path / "c", f"https://{host}:6443"))
        assert (access.server.proxy is not None) is through, host


SCALARS = st.none() | st.booleans() | st.integers() | st.text(string.printable, max_size=8) | st.just(TOKEN)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "clusters",
                    "users",
                    "contexts",
                    "current-context",
                    "name",
                    "cluster",
                    "user",
                    "context",
                    "server",
                    "token",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=TREES)
def test_any_document_is_a_way_or_one_line(document: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "c", document)
    line = ""
    try:
        find_access({}, path)
    except ModeKeeperError as error:
        line = str(error)
    assert line.isprintable()
    assert TOKEN not in line.replace(f'"{TOKEN}"', "").replace(f": {TOKEN}", "")  # a name may be anything, and is told
