"""The licensed package as a customer has it: found by its entry point, in a folder of its own beside nothing else."""

import os
import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "packages" / "modekeeper-pro"


def installed_pro(folder: Path) -> dict[str, str]:
    """Install ``modekeeper-pro`` into ``folder``; what a process needs in its environment to find it.

    A process that is given this runs ``python -m modekeeper`` of this checkout, whatever else is installed.
    """
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    shutil.copytree(PACKAGE / "src" / "modekeeper_pro", folder / "modekeeper_pro", dirs_exist_ok=True)
    info = folder / f"modekeeper_pro-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, offers in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {where}" for name, where in offers.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT / "packages" / "modekeeper" / "src")))}
