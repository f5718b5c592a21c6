"""An authority and certificates for loopback, made for one test; they open nothing else."""

import subprocess
from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def authority(folder: Path) -> Path:
    """A new authority's certificate; its key lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl(
        folder, "req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.crt"
    )
    return folder / "ca.crt"


def certificate(
    ca: Path, name: str, *, names: str = "IP:127.0.0.1", days: int = 2, subject: str = "/CN=server"
) -> Path:
    """A certificate and its key in one PEM file. With negative days it has expired."""
    folder = ca.parent
    _openssl(folder, "req", "-new", *_NEW_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-days", str(days), "-out", f"{name}.crt")
    both = folder / f"{name}.pem"
    both.write_bytes((folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes())
    return both


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
