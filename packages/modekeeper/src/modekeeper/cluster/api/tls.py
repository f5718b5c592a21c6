"""TLS as the kubeconfig wants it."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modekeeper.cluster.access.settings import ClusterAccess, Secret
from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError

__all__ = ["tls_context"]


def tls_context(access: ClusterAccess, certificate: tuple[Secret, Secret] | None) -> ssl.SSLContext:
    """Trust as the cluster entry says it, and the client certificate where there is one.

    Raises:
        ClusterConfigError: the authority, the certificate or the key is unusable.
    """
    server, where = access.server, shown(access.source, 200)
    try:
        context = ssl.create_default_context(cadata=server.ca_pem)
    except (ssl.SSLError, ValueError):
        raise ClusterConfigError(f"The certificate-authority of {where} is no certificate. Correct it there.") from None
    if server.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        pair = "".join(part.reveal().rstrip("\n") + "\n" for part in certificate)
        try:
            with _as_file(pair.encode()) as path:
                context.load_cert_chain(path, password=_no_password)
        except (OSError, ValueError, TypeError):
            raise ClusterConfigError(
                f"The client certificate and its key of {where} cannot be used together: not a pair, or the key has a"
                " password. Correct them there."
            ) from None
    return context


def _no_password() -> str:
    """Instead of a question at the terminal."""
    return ""


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A file only in memory where the system has such, since the library takes keys from files only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    import tempfile  # noqa: PLC0415 - only where the system has no files in memory

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(data)
        yield str(path)
