"""Container images without a registry: one static busybox, in the archive that ``docker save`` writes.

Format: https://github.com/moby/docker-image-spec/blob/main/v1.2.md, "Combined Image JSON + Filesystem Changeset".
"""

import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.control_plane import SYSTEM_PATH, ControlPlaneError

BUSYBOX = "modekeeper.invalid/busybox:1"
"""Has a shell and its tools under ``/bin``; a program of the machine runs in it where ``/usr`` is mounted."""

PAUSE = "modekeeper.invalid/pause:1"
"""Holds the namespaces of a pod, and does nothing."""

ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}


def find_busybox() -> Path:
    """The machine's busybox.

    Raises:
        ControlPlaneError: there is none, or it needs libraries that an image has not.
    """
    found = shutil.which("busybox", path=SYSTEM_PATH)
    if found is None:
        raise ControlPlaneError("a node needs busybox: install busybox-static")
    with Path(found).open("rb") as program:
        # A program with an interpreter names it in its first page.
        if b"/ld-linux" in program.read(4096):
            raise ControlPlaneError(f"{found} is not a static program: install busybox-static in its place")
    return Path(found)


def write_image(path: Path, name: str, entrypoint: Sequence[str] = ()) -> None:
    """Write an image archive of one layer: busybox, its applets, and the links that lead to ``/usr`` for libraries."""
    layer = _layer(find_busybox())
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin:/usr/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as archive:
        for file, content in (("manifest.json", manifest), ("config.json", config), ("layer.tar", layer)):
            _add_file(archive, file, content)


def interpreter_mounts() -> dict[str, str]:
    """The folders that this Python needs in a container, read-only: the name of a volume to its path, there as here."""
    prefix = Path(sys.base_prefix)
    return {"usr": "/usr"} | ({} if prefix.is_relative_to("/usr") else {"interpreter": str(prefix)})


def interpreter() -> str:
    """The path of this Python, without its virtual environment."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


def _layer(busybox: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "usr", "tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        _add_file(archive, "bin/busybox", busybox.read_bytes(), mode=0o755)
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
        links |= {"lib": "usr/lib", "lib64": "usr/lib64"}
        for link, target in links.items():
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def _add_file(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
