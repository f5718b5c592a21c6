"""What a way to a cluster consists of. Nothing secret shows in a repr."""

from datetime import datetime
from pathlib import Path

import msgspec

from modekeeper.model.cluster import ClusterContext

__all__ = ["ClusterAccess", "ExecPlugin", "Login", "Printed", "Proxy", "Secret", "Server"]


class Secret(msgspec.Struct, frozen=True):
    """A text that shows only where it is asked for by ``reveal``."""

    _text: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def reveal(self) -> str:
        """The text itself."""
        return self._text


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy in front of the API server, asked to CONNECT."""

    host: str
    port: int
    authorization: Secret | None = None
    """The value of its ``Proxy-Authorization``."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """An API server, and how it is trusted."""

    scheme: str
    host: str
    port: int
    base_path: str = ""
    """Without a slash at its end."""
    ca_pem: str | None = None
    """``None``: what the machine trusts."""
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: Proxy | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class ExecPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A program that prints credentials (``client.authentication.k8s.io`` ``v1`` or ``v1beta1``)."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, Secret], ...] = ()
    install_hint: str = ""
    cluster_info: bool = False

    def __repr__(self) -> str:
        return f"ExecPlugin(command={self.command!r}, …)"


class Printed(msgspec.Struct, frozen=True):
    """What such a program printed: a token, a client certificate with its key, or both."""

    token: Secret | None
    certificate: Secret | None
    key: Secret | None
    expires: datetime | None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are. At most one of token, token file, basic and plugin; a certificate may stand beside each."""

    token: Secret | None = None
    token_file: Path | None = None
    basic: Secret | None = None
    """``user:password``."""
    certificate: Secret | None = None
    """PEM."""
    key: Secret | None = None
    """PEM."""
    plugin: ExecPlugin | None = None
    impersonation: tuple[tuple[str, str], ...] = ()
    """Headers."""


class ClusterAccess(msgspec.Struct, frozen=True, kw_only=True):
    """One context, ready to be used."""

    context: ClusterContext
    server: Server
    login: Login
    source: str
    """The file, or the service account, for messages."""
