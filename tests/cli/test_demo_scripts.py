"""``bin/mk-demo-sales`` and ``bin/mk-demo-k8s-drift`` before they have a cluster: options, and what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BIN = Path(__file__).parents[2] / "bin"
SCRIPTS = ["mk-demo-sales", "mk-demo-k8s-drift"]


def run(script: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(script), *words],
        cwd=script.parent,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def only(folder: Path, *programs: str) -> str:
    """A search path with these programs and the few tools a shell script has anywhere."""
    folder.mkdir()
    for name in ("dirname", "mktemp", "od", "rm", "tr", "cat"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name in programs:
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing is installed yet."""
    shutil.copytree(BIN, tmp_path / "checkout" / "bin")
    return tmp_path / "checkout" / "bin"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_the_usage(script: str, word: str) -> None:
    done = run(BIN / script, word)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: bin/{script} [OPTIONS]\n")
    for option in ("--keep-license", "--keep-deploy", "--cluster", "--trainer-patch"):
        assert option in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("words", [["--keep"], ["extra"], ["--cluster"], ["--trainer-patch"], ["--keep-deploy", "-x"]])
def test_what_is_not_known_prints_the_usage(script: str, words: list[str]) -> None:
    done = run(BIN / script, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Usage: bin/{script} [OPTIONS]\n")


def test_a_cluster_of_another_kind_is_refused() -> None:
    done = run(BIN / "mk-demo-k8s-drift", "--cluster", "minikube")
    assert done.returncode == 2
    assert "Usage:" in done.stderr


@pytest.mark.parametrize("missing", ["mk", "python"])
def test_a_machine_that_is_no_developers_machine_is_told_so(missing: str, bare: Path) -> None:
    programs = bare.parent / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in {"mk", "python"} - {missing}:
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    done = run(bare / "mk-demo-sales")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ERROR: .venv/bin/{missing} is missing: this runs on a developer's machine")
    assert "WSL" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("installed", "missing"), [((), "mk"), (("mk",), "kubectl"), (("mk", "kubectl"), "kind")], ids=str
)
def test_a_missing_program_is_one_line(installed: tuple[str, ...], missing: str, bare: Path, tmp_path: Path) -> None:
    done = run(bare / "mk-demo-k8s-drift", PATH=only(tmp_path / "path", *installed))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ERROR: {missing} is not installed: ")
    assert done.stderr.count("\n") == 1


def test_a_kill_switch_ends_it_before_anything_is_made(bare: Path, tmp_path: Path) -> None:
    path = only(tmp_path / "path", "mk", "kubectl")
    done = run(bare / "mk-demo-k8s-drift", "--cluster", "kubeconfig", PATH=path, MODEKEEPER_KILL_SWITCH="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "MODEKEEPER_KILL_SWITCH" in done.stderr


@pytest.mark.parametrize(("failing", "stages"), [("mk-demo-safety-gates", 1), ("mk-demo-k8s-drift", 2), (None, 2)])
def test_the_whole_demo_fails_with_its_first_stage_that_does(failing: str | None, stages: int, bare: Path) -> None:
    programs = bare.parent / ".venv" / "bin"
    programs.mkdir(parents=True)
    for file in (programs / "mk", programs / "python", bare / "mk-demo-safety-gates", bare / "mk-demo-k8s-drift"):
        file.write_text(f'#!/bin/sh\necho "$(basename "$0") [$*]"\nexit {3 if file.name == failing else 0}\n')
        file.chmod(0o755)
    done = run(bare / "mk-demo-sales", "--keep-deploy", "--cluster", "kubeconfig")
    assert done.returncode == (0 if failing is None else 3)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("=== ") for line in lines) == stages
    assert "mk-demo-safety-gates []" in lines
    assert ("mk-demo-k8s-drift [--keep-deploy --cluster kubeconfig]" in lines) is (stages == 2)
    last = ["safety artifacts: report/_demo_safety_gates"]
    last += ["drift/apply artifacts: report/_license_dev_verify report/_cl_k8s_apply_paid"]
    assert (lines[-2:] == last) is (failing is None)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_are_clean(script: str) -> None:
    assert subprocess.run(["shellcheck", str(BIN / script)], capture_output=True, check=False).stdout == b""
