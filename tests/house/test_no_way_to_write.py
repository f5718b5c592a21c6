"""Nothing in the public package can change a cluster: who may speak to one, and with which words."""

import shutil
import zipfile
from pathlib import Path

import pytest
from tests.house.guard import SOURCE, build_wheel, faults, faults_of_wheel, main


def test_only_three_kinds_of_request_can_leave() -> None:
    found = [
        fault
        for path in sorted(SOURCE.rglob("*.py"))
        for fault in faults(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("place", "planted"),
    [
        ("cli/observe.py", "import http.client"),
        ("cluster/verify/gather.py", "from http import client"),
        ("telemetry/pods/source.py", "import httpx2"),
        ("cluster/opening.py", "from lightkube import Client"),
        ("cluster/rest_reader.py", 'self._transport.send("PATCH", path)'),
        ("cluster/api/transport.py", 'connection.request("DELETE", path)'),
        ("cluster/kubectl/transport.py", 'words = ["kubectl", "annotate", "--overwrite"]'),
        ("cluster/kubectl/version.py", 'words = ["kubectl", "apply", "-f", "-"]'),
        ("cluster/kubectl/transport.py", 'words = ["patch", "--dry-run=none"]'),
        ("cli/k8s_apply.py", "from modekeeper_pro.door import apply"),
        ("loop/run.py", "import license_gate"),
        ("cluster/api/wire.py", 'x = Wired("PATCH", request.target)'),
        ("cluster/api/wire.py", 'match r:\n    case DryRun():\n        x = Wired("PATCH", r.path)'),
        ("cluster/api/wire.py", 'match r:\n    case Get():\n        x = Wired("PATCH", request.target)'),
        ("cluster/api/wire.py", 'match r:\n    case AccessReview():\n        x = Wired("POST", request.target)'),
        ("cluster/requests.py", 'DRY_RUN_QUERY = "fieldManager=x"'),
    ],
)
def test_a_planted_violation_is_found(place: str, planted: str) -> None:
    assert faults(place, planted) != []


@pytest.mark.parametrize("old", ["dryRun=All", "/selfsubjectaccessreviews", "?{DRY_RUN_QUERY}"])
def test_a_dry_run_that_is_none_any_more_is_found(old: str) -> None:
    source = (SOURCE / "cluster" / "requests.py").read_text(encoding="utf-8")
    assert old in source
    assert faults("cluster/requests.py", source) == []
    assert faults("cluster/requests.py", source.replace(old, "x")) != []


# The same of the built wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_nothing_it_may_not(wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults_of_wheel(wheel) == []
    assert main([str(wheel)]) == 0
    assert "no writer" in capsys.readouterr().out


PLANTED = {
    "modekeeper_pro/door/__init__.py": b"",
    "modekeeper_pro-0.1.0.dist-info/entry_points.txt": b"[modekeeper.actuator]\npro = modekeeper_pro:Door\n",
    "modekeeper/door/_writers/api.py": b"",
    "modekeeper/cluster/writing.py": b'import http.client\nhttp.client.HTTPConnection("x").request("PATCH", "/x")\n',
    "modekeeper/cluster/more.py": b'WORDS = ["kubectl", "delete"]\n',
    "modekeeper/cli/shortcut.py": b"import modekeeper_pro\n",
    "modekeeper/native.so": b"\x7fELF",
    "x-1.dist-info/METADATA": b"Metadata-Version: 2.4\nName: x\nRequires-Dist: ModeKeeper-Pro>=1\n",
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_in_a_wheel_is_found(
    name: str, wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = tmp_path / wheel.name
    shutil.copy(wheel, spoiled)
    with zipfile.ZipFile(spoiled, "a") as archive:
        archive.writestr(name, PLANTED[name])
    assert main([str(spoiled)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith(f"ERROR: {wheel.name}: ") for line in lines)
