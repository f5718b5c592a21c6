"""Which proxy stands before the API server: ``proxy-url`` of the kubeconfig, else the environment's, as Go reads it."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from modekeeper.cluster.access.settings import Proxy, Secret
from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["proxy_from_environment", "proxy_from_url"]

_PORT = 80


def proxy_from_url(url: str, source: str) -> Proxy:
    """The proxy of a URL.

    Raises:
        ClusterConfigError: it is no proxy that can be used here. The message holds no password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme in {"https", "socks5", "socks5h"}:
        raise ClusterConfigError(
            f"{source} names a {parts.scheme} proxy, which only kubectl speaks to. Use --cluster-client kubectl."
        )
    if parts.scheme != "http" or not host:
        kind = shown(parts.scheme, 20) or "nothing"
        raise ClusterConfigError(f"{source} names a proxy that is no http:// URL but {kind}. Correct it.")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = Secret("Basic " + base64.b64encode(pair.encode()).decode())
    return Proxy(host, port or _PORT, authorization)


def proxy_from_environment(environment: Mapping[str, str], scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy of ``HTTPS_PROXY`` (``HTTP_PROXY`` for a server without TLS), unless ``NO_PROXY`` names the server.

    A server on the loopback interface is never asked through one (Go, ``httpproxy.Config``).
    """
    name = "HTTPS_PROXY" if scheme == "https" else "HTTP_PROXY"
    url = environment.get(name) or environment.get(name.lower())
    if not url or host == "localhost" or _is_loopback(host):
        return None
    excluded = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    if any(_covers(word.strip().lower(), host.lower(), port) for word in excluded.split(",")):
        return None
    return proxy_from_url(url if "://" in url else f"http://{url}", f"{name} in the environment")


def _covers(word: str, host: str, port: int) -> bool:
    if word in {"", "*"}:
        return bool(word)
    address = _address(host)
    if address is not None and "/" in word:
        from ipaddress import ip_network  # noqa: PLC0415

        with suppress(ValueError):
            return address in ip_network(word, strict=False)
        return False
    name, _, its_port = word.rpartition(":") if word.count(":") == 1 else (word, "", "")
    if its_port and its_port != str(port):
        return False
    name = name.removeprefix("*")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> "IPv4Address | IPv6Address | None":
    import ipaddress  # noqa: PLC0415 - only where the environment names a proxy

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
