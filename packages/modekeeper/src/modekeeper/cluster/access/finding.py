"""From a kubeconfig, or from inside a cluster, to everything needed to ask its API server."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from modekeeper.cluster.access.kubeconfig import Chosen, choose, kubeconfig_files
from modekeeper.cluster.access.kubeconfig_file import ExecEntry
from modekeeper.cluster.access.proxies import proxy_from_environment, proxy_from_url
from modekeeper.cluster.access.settings import ClusterAccess, ExecPlugin, Login, Secret, Server
from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError, ClusterContext

__all__ = ["SERVICE_ACCOUNT", "find_access", "find_context"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own credentials."""

_KUBECTL = "Use --cluster-client kubectl."
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_PORTS = {"https": 443, "http": 80}


def find_access(
    environment: Mapping[str, str],
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterAccess:
    """The way to the cluster that is meant: of the kubeconfig, else of the pod this runs in.

    Raises:
        ClusterConfigError: there is none, or it has a defect; one line that names the file and what to do.
    """
    chosen = choose(environment, kubeconfig, context)
    if chosen is None:
        return _in_cluster(environment, context, service_account, kubeconfig_files(environment, kubeconfig))
    server = _server(chosen, environment)
    login = _login(chosen)
    loopback = server.host in {"localhost", "127.0.0.1", "::1"}
    if server.scheme == "http" and not loopback and login != Login():
        raise ClusterConfigError(
            f"{_of_cluster(chosen)} has a server without TLS ({server.origin}): credentials are not sent to it in the"
            " clear. Correct the server, or use kubectl proxy."
        )
    return ClusterAccess(context=_context(chosen, server), server=server, login=login, source=str(chosen.context_file))


def find_context(
    environment: Mapping[str, str],
    kubeconfig: Path | None = None,
    context: str | None = None,
    *,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterContext:
    """Only what the way is called; credentials are not looked at, and may be of a kind that only kubectl knows.

    Raises:
        ClusterConfigError: as ``find_access``.
    """
    chosen = choose(environment, kubeconfig, context)
    if chosen is None:
        files = kubeconfig_files(environment, kubeconfig)
        return _in_cluster(environment, context, service_account, files).context
    scheme, host, port, _ = _address(chosen)
    return _context(chosen, Server(scheme=scheme, host=host, port=port))


def _context(chosen: Chosen, server: Server) -> ClusterContext:
    return ClusterContext(
        name=chosen.name, server=server.origin, namespace=chosen.namespace or "default", user=chosen.user_name
    )


def _server(chosen: Chosen, environment: Mapping[str, str]) -> Server:
    entry = chosen.cluster
    scheme, host, port, base_path = _address(chosen)
    ca = _pem(
        chosen.cluster_file, "certificate-authority", entry.certificate_authority_data, entry.certificate_authority
    )
    if entry.insecure_skip_tls_verify and ca is not None:
        raise ClusterConfigError(
            f"{_of_cluster(chosen)} has both a certificate-authority and insecure-skip-tls-verify. Remove one of them."
        )
    named = entry.proxy_url
    proxy = (
        proxy_from_url(named, _of_cluster(chosen)) if named else proxy_from_environment(environment, scheme, host, port)
    )
    return Server(
        scheme=scheme,
        host=host,
        port=port,
        base_path=base_path,
        ca_pem=ca,
        insecure=bool(entry.insecure_skip_tls_verify),
        tls_server_name=entry.tls_server_name or None,
        proxy=proxy,
    )


def _address(chosen: Chosen) -> tuple[str, str, int, str]:
    """Scheme, host, port, and what stands before every path."""
    written = chosen.cluster.server
    if not written:
        raise ClusterConfigError(f"{_of_cluster(chosen)} has no server. Add it there.")
    entry = chosen.cluster
    secure = entry.certificate_authority or entry.certificate_authority_data or entry.insecure_skip_tls_verify
    url = written if "://" in written else f"{'https' if secure else 'http'}://{written}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    sound = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in _PORTS or not host or not sound or parts.query or parts.fragment or parts.username:
        raise ClusterConfigError(
            f"{_of_cluster(chosen)} has a server that is no address like https://host:port. Correct it there."
        )
    return parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/")


def _login(chosen: Chosen) -> Login:
    user = chosen.user
    certificate = _pem(chosen.user_file, "client-certificate", user.client_certificate_data, user.client_certificate)
    key = _pem(chosen.user_file, "client-key", user.client_key_data, user.client_key, secret=True)
    if (certificate is None) is not (key is None):
        lacking = "client-key" if key is None else "client-certificate"
        raise ClusterConfigError(f"{_of_user(chosen)} has no {lacking} beside its counterpart. Add it there.")
    if user.auth_provider is not None:
        name = shown(user.auth_provider.get("name"), 40)
        raise ClusterConfigError(
            f'{_of_user(chosen)} logs in by the auth-provider "{name}", which only kubectl may know. {_KUBECTL}'
        )
    ways = [bool(user.token or user.token_file), bool(user.username or user.password), user.exec is not None]
    if sum(ways) > 1:
        raise ClusterConfigError(
            f"{_of_user(chosen)} has more than one of token, username and exec. Leave the one that is meant."
        )
    return Login(
        token=None if user.token_file or not user.token else Secret(_header_safe(chosen, "token", user.token.strip())),
        token_file=None if not user.token_file else _beside(chosen.user_file, user.token_file),
        basic=Secret(f"{user.username or ''}:{user.password or ''}") if user.username or user.password else None,
        certificate=None if certificate is None else Secret(certificate),
        key=None if key is None else Secret(key),
        plugin=None if user.exec is None else _plugin(chosen, user.exec),
        impersonation=tuple(_impersonation(chosen)),
    )


def _impersonation(chosen: Chosen) -> list[tuple[str, str]]:
    user = chosen.user
    headers = [("Impersonate-User", user.as_user)] if user.as_user else []
    headers += [("Impersonate-Uid", user.as_uid)] if user.as_uid else []
    headers += [("Impersonate-Group", group) for group in user.as_groups or ()]
    for key, values in (user.as_user_extra or {}).items():
        if not key or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in key):
            raise ClusterConfigError(f"{_of_user(chosen)} has an as-user-extra with a key that is no word. {_KUBECTL}")
        headers += [(f"Impersonate-Extra-{key}", value) for value in values]
    return [(name, _header_safe(chosen, "as…", value)) for name, value in headers]


def _header_safe(chosen: Chosen, field: str, value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    raise ClusterConfigError(f"{_of_user(chosen)} has a {field} that no HTTP header can carry. Correct it there.")


def _plugin(chosen: Chosen, entry: ExecEntry) -> ExecPlugin:
    if not entry.command:
        raise ClusterConfigError(f"{_of_user(chosen)} has an exec without a command. Add it there.")
    if entry.api_version not in _EXEC_VERSIONS:
        version = shown(entry.api_version, 60) or "none"
        raise ClusterConfigError(
            f"{_of_user(chosen)} has an exec of the apiVersion {version}; {_EXEC_VERSIONS[0]} and v1beta1 are known."
            f" {_KUBECTL}"
        )
    if entry.interactive_mode == "Always":
        raise ClusterConfigError(
            f"{_of_user(chosen)} logs in by a program that asks a person (interactiveMode: Always). {_KUBECTL}"
        )
    relative = os.sep in entry.command
    return ExecPlugin(
        api_version=entry.api_version,
        command=str(_beside(chosen.user_file, entry.command)) if relative else entry.command,
        args=entry.args or (),
        env=tuple((each.name, Secret(each.value)) for each in entry.env or ()),
        install_hint=shown(entry.install_hint, 200),
        cluster_info=bool(entry.provide_cluster_info),
    )


def _pem(file: Path, field: str, data: str | None, path: str | None, *, secret: bool = False) -> str | None:
    """The text of a certificate or key: from the data in the file, which goes first, or from the file it names."""
    if data:
        try:
            text = base64.b64decode("".join(data.split()), validate=True).decode()
        except (binascii.Error, ValueError):
            raise ClusterConfigError(
                f"The {field}-data in {_path(file)} is no base64 of a text. Copy it there again."
            ) from None
        where = f"The {field}-data in {_path(file)}"
    elif path:
        named = _beside(file, path)
        text = _read(named, f"The {field} of {_path(file)}")
        where = f"The {field} {_path(named)} of {_path(file)}"
    else:
        return None
    if "-----BEGIN " not in text:
        raise ClusterConfigError(f"{where} is no {'key' if secret else 'certificate'} in PEM form. Correct it there.")
    return text


def _read(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(2**20).decode()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ClusterConfigError(f"{what} cannot be read at {_path(path)}: {why}. Correct the path.") from None
    except ValueError:
        raise ClusterConfigError(f"{what} at {_path(path)} is no text. Correct the path.") from None


def _in_cluster(
    environment: Mapping[str, str], context: str | None, account: Path, looked_at: tuple[Path, ...]
) -> ClusterAccess:
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not account.is_dir():
        where = ", ".join(_path(path) for path in looked_at) or "HOME and KUBECONFIG are not set"
        raise ClusterConfigError(
            f"There is no kubeconfig ({where}), and this is no pod of a cluster. Name one with --kubeconfig."
        )
    if context is not None:
        raise ClusterConfigError(
            f'Inside a cluster, without a kubeconfig, there is no context "{shown(context, 100)}". Leave out --context.'
        )
    if not port.isascii() or not port.isdigit():
        raise ClusterConfigError("KUBERNETES_SERVICE_PORT in the environment is no number. Correct it.")
    what = "The service account's"
    namespace = _read(account / "namespace", f"{what} namespace").strip()
    server = Server(scheme="https", host=host, port=int(port), ca_pem=_read(account / "ca.crt", f"{what} certificate"))
    return ClusterAccess(
        context=ClusterContext(name=None, server=server.origin, namespace=namespace or "default", user=None),
        server=server,
        login=Login(token_file=account / "token"),
        source=str(account),
    )


def _beside(file: Path, path: str) -> Path:
    """A path as the kubeconfig means it: relative to the folder of the file."""
    return file.absolute().parent / path


def _of_cluster(chosen: Chosen) -> str:
    return f'The cluster of context "{shown(chosen.name, 100)}" in {_path(chosen.cluster_file)}'


def _of_user(chosen: Chosen) -> str:
    return f'The user "{shown(chosen.user_name, 100)}" in {_path(chosen.user_file)}'


def _path(path: Path) -> str:
    return shown(str(path), 200)
