"""Checks of the machine ModeKeeper runs on. Each reads, none changes anything."""

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from modekeeper import __version__
from modekeeper.artifacts.contracts.reports import DoctorCheck
from modekeeper.gates.kill_switch import read_kill_switch
from modekeeper.ports.actuator import ACTUATOR_GROUP

__all__ = ["check_machine", "pro_installed"]


def check_machine(environment: Mapping[str, str], out: Path) -> tuple[DoctorCheck, ...]:
    """All checks, in the order a person would ask."""
    return (
        _python(),
        DoctorCheck(name="modekeeper", status="pass", detail=__version__),
        _writable(out),
        _picture(),
        _kubectl(environment),
        _kubeconfig(environment),
        _kill_switch(environment),
        _pro(),
    )


def pro_installed() -> bool:
    """Whether a package offers to apply plans."""
    return bool(entry_points(group=ACTUATOR_GROUP))


def _python() -> DoctorCheck:
    version = ".".join(map(str, sys.version_info[:3]))
    return DoctorCheck(name="python", status="pass", detail=version)


def _writable(out: Path) -> DoctorCheck:
    folder = out
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return DoctorCheck(name="output_folder", status="pass", detail=f"{out.as_posix()} can be written")
    hint = "Give --out a folder that can be written."
    return DoctorCheck(name="output_folder", status="fail", detail=f"{out.as_posix()} cannot be written", hint=hint)


def _picture() -> DoctorCheck:
    if find_spec("matplotlib") is not None:
        return DoctorCheck(name="picture", status="pass", detail="matplotlib is installed: mk plot works")
    hint = "pip install 'modekeeper[plot]'"
    return DoctorCheck(name="picture", status="note", detail="matplotlib is missing: no pictures", hint=hint)


def _kubectl(environment: Mapping[str, str]) -> DoctorCheck:
    wanted = environment.get("KUBECTL") or "kubectl"
    found = shutil.which(wanted, path=environment.get("PATH"))
    if found:
        return DoctorCheck(name="kubectl", status="pass", detail=f"{wanted} is installed")
    hint = "Needed only to run a plan's script; set KUBECTL to name another program."
    return DoctorCheck(name="kubectl", status="note", detail=f"{wanted} is not installed", hint=hint)


def _kubeconfig(environment: Mapping[str, str]) -> DoctorCheck:
    given = [Path(part) for part in environment.get("KUBECONFIG", "").split(os.pathsep) if part]
    places = given or [Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config"]
    readable = [place for place in places if place.is_file() and os.access(place, os.R_OK)]
    if readable:
        return DoctorCheck(name="kubeconfig", status="pass", detail=f"{_files(len(readable))} readable")
    hint = "Needed only to check a plan against a cluster; set KUBECONFIG."
    return DoctorCheck(name="kubeconfig", status="note", detail="no readable kubeconfig", hint=hint)


def _kill_switch(environment: Mapping[str, str]) -> DoctorCheck:
    switch = read_kill_switch(environment)
    if switch.active:
        detail = f"active ({switch.signal}): every apply is refused"
        return DoctorCheck(name="kill_switch", status="note", detail=detail)
    return DoctorCheck(name="kill_switch", status="pass", detail="off (MODEKEEPER_KILL_SWITCH)")


def _pro() -> DoctorCheck:
    if pro_installed():
        return DoctorCheck(name="apply", status="note", detail="a licensed package is installed")
    detail = "the licensed package is not installed: plans are written, never applied"
    return DoctorCheck(name="apply", status="pass", detail=detail)


def _files(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"
