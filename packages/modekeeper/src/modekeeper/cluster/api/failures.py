"""What went wrong on the way to the API server, as one line that says what to do."""

import ssl
from http.client import HTTPException

from modekeeper.cluster.access.settings import ClusterAccess
from modekeeper.cluster.answers import shown
from modekeeper.cluster.api.sockets import NameNotFoundError, ProxyError
from modekeeper.model.cluster import ClusterUnreachableError

__all__ = ["asking_again_helps", "not_kubernetes", "too_large", "unreachable"]

_DATES = frozenset({9, 10})
_NAMES = frozenset({62, 64})
"""Numbers of OpenSSL: not yet valid and expired; host name and address mismatch."""


def unreachable(access: ClusterAccess, asked: str, error: Exception, timeout_s: float) -> ClusterUnreachableError:
    """The error of a request that was not answered."""
    server = access.server
    where = f"The API server {server.origin}"
    if server.proxy is not None:
        where += f" (through the proxy {server.proxy.host}:{server.proxy.port})"
    return ClusterUnreachableError(_line(access, where, asked, error, timeout_s))


def _line(access: ClusterAccess, where: str, asked: str, error: Exception, timeout_s: float) -> str:
    match error:
        case TimeoutError():
            line = f"{where} did not {asked} within {timeout_s:g} s. Try again, or allow more time."
        case ssl.SSLCertVerificationError():
            line = f"{where} is not trusted: {_distrust(access, error)}"
        case ssl.SSLError():
            why = shown((error.reason or "it speaks no TLS").lower().replace("_", " "), 100)
            line = f"{where} could not agree on TLS: {why}. Look at the server and certificates of the context."
        case NameNotFoundError():
            line = f"{where} cannot be found: its name, or its proxy's, does not resolve. Look at the context's server."
        case ProxyError():
            line = f"{where} cannot be reached: {error}. Look at proxy-url, HTTPS_PROXY and NO_PROXY."
        case ConnectionRefusedError():
            line = f"{where} refused the connection. Look at the server of the context, and whether it runs."
        case HTTPException() | ConnectionError() | ValueError():
            line = f"{where} broke off when asked to {asked}. Try again, and look at what is in between."
        case _:
            why = shown((getattr(error, "strerror", None) or type(error).__name__).lower(), 100)
            line = f"{where} cannot be reached: {why}. Look at the network."
    return line


def asking_again_helps(error: Exception) -> bool:
    """Whether the same request may be answered the next time."""
    return not isinstance(error, ssl.SSLCertVerificationError | NameNotFoundError | ProxyError | TimeoutError)


def too_large(asked: str, limit_bytes: int) -> ClusterUnreachableError:
    """More than is read."""
    size = f"{limit_bytes // 2**20} MiB"
    return ClusterUnreachableError(f"The answer when asked to {asked} is larger than {size}. Ask for less.")


def not_kubernetes(access: ClusterAccess, asked: str, what: str) -> ClusterUnreachableError:
    """Something answers there, but not the API of Kubernetes."""
    return ClusterUnreachableError(
        f"What answers at {access.server.origin} is no Kubernetes API server: asked to {asked}, it sent {what}."
        " Look at the server of the context, and at proxies in between."
    )


def _distrust(access: ClusterAccess, error: ssl.SSLCertVerificationError) -> str:
    why = shown(error.verify_message, 150).rstrip(".")
    if error.verify_code in _DATES:
        return f"{why}. Let its certificate be renewed, or look at this machine's clock."
    if error.verify_code in _NAMES:
        return f"{why}. Correct the server of the context, or add tls-server-name."
    lack = "" if access.server.ca_pem else " (there is none, so that the machine's were used)"
    return f"{why}. Correct the certificate-authority{lack} in {shown(access.source, 200)}."
