"""Credentials a program prints: exec plugins (``client.authentication.k8s.io``, ``v1`` and ``v1beta1``)."""

import threading
from collections.abc import Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.artifacts.times import parse_iso
from modekeeper.cluster.access.settings import ClusterAccess, ExecPlugin, Printed, Secret
from modekeeper.cluster.answers import shown
from modekeeper.cluster.processes import OutputTooLargeError, run_program
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.ports.clock import Clock

__all__ = ["ExecCredentials"]

_TIMEOUT_S = 30.0
_MAX_BYTES = 2**20
_LEEWAY = timedelta(seconds=10)
"""Credentials that end sooner than this are asked for again."""


class ExecCredentials:
    """Runs the plugin where there are no credentials yet, where they end, and where they were refused."""

    def __init__(self, access: ClusterAccess, plugin: ExecPlugin, clock: Clock, environment: Mapping[str, str]) -> None:
        self._plugin = plugin
        self._clock = clock
        self._environment = _environment(access, plugin, environment)
        self._source = access.source
        self._printed: Printed | None = None
        self._lock = threading.Lock()

    def current(self) -> Printed:
        """Credentials that are good for now.

        Raises:
            ClusterConfigError: the plugin failed; the last line it wrote to its standard error is in the message.
        """
        with self._lock:
            if self._printed is None or self._ends_soon(self._printed):
                self._printed = self._run()
            return self._printed

    def refuse(self, refused: Printed) -> bool:
        """The server did not take these: whether there may be others the next time."""
        with self._lock:
            if self._printed is refused:
                self._printed = None
        return True

    def _ends_soon(self, printed: Printed) -> bool:
        return printed.expires is not None and self._clock.now() + _LEEWAY >= printed.expires

    def _run(self) -> Printed:
        words = [self._plugin.command, *self._plugin.args]
        try:
            done = run_program(words, self._environment, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)
        except FileNotFoundError:
            hint = f" {self._plugin.install_hint}" if self._plugin.install_hint else " Install it."
            raise self._failed(f"is not there.{hint}") from None
        except OSError as error:
            raise self._failed(f"could not be started: {(error.strerror or str(error)).lower()}.") from None
        except OutputTooLargeError:
            raise self._failed("printed more than 1 MiB.") from None
        if done.returncode is None:
            raise self._failed(f"did not end within {_TIMEOUT_S:.0f} s. Log in with it at a terminal first.")
        if done.returncode != 0:
            said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
            last = f": {shown(said[-1], 200)}" if said else ""
            raise self._failed(f"ended with {done.returncode}{last}. Log in with it at a terminal first.")
        return self._parse(done.stdout)

    def _parse(self, output: bytes) -> Printed:
        try:
            found: Any = msgspec.json.decode(output)
            version, kind, status = found.get("apiVersion"), found.get("kind"), found.get("status")
            if kind != "ExecCredential" or not isinstance(status, dict):
                raise ValueError  # noqa: TRY301
            expires = parse_iso(status["expirationTimestamp"]) if status.get("expirationTimestamp") else None
        except (msgspec.DecodeError, ValueError, AttributeError, TypeError, RecursionError):
            raise self._failed("printed no ExecCredential.") from None
        if version != self._plugin.api_version:
            raise self._failed(f"speaks {shown(version, 60) or 'no version'}, not {self._plugin.api_version}.")
        token, certificate, key = (_secret(status.get(name)) for name in ("token", *_PAIR))
        if (certificate is None) is not (key is None) or (token is None and certificate is None):
            raise self._failed("printed neither a token nor a client certificate with its key.")
        if token is not None and not (token.reveal().isascii() and token.reveal().isprintable()):
            raise self._failed("printed a token that no HTTP header can carry.")
        return Printed(token, certificate, key, None if expires is None else expires.astimezone(UTC))

    def _failed(self, what: str) -> ClusterConfigError:
        name = shown(Path(self._plugin.command).name, 60)
        return ClusterConfigError(f"The login program {name} of {shown(self._source, 200)} {what}")


_PAIR = ("clientCertificateData", "clientKeyData")


def _secret(value: Any) -> Secret | None:
    return Secret(value) if isinstance(value, str) and value else None


def _environment(access: ClusterAccess, plugin: ExecPlugin, environment: Mapping[str, str]) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.cluster_info:
        spec["cluster"] = _cluster_info(access)
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    own = {name: value.reveal() for name, value in plugin.env}
    return {**environment, **own, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}


def _cluster_info(access: ClusterAccess) -> dict[str, Any]:
    import base64  # noqa: PLC0415 - only for plugins that want it

    server = access.server
    info: dict[str, Any] = {"server": server.origin + server.base_path, "insecure-skip-tls-verify": server.insecure}
    if server.ca_pem is not None:
        info["certificate-authority-data"] = base64.b64encode(server.ca_pem.encode()).decode()
    if server.tls_server_name is not None:
        info["tls-server-name"] = server.tls_server_name
    return info
