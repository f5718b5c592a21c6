"""Finding and building the programs: where they are looked for, and what is said where they cannot be had."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.cluster.control_plane import TOOLS, ControlPlaneError, find_binaries

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet")
NEEDED = ("awk", "bash", "chmod", "cp", "dirname", "head", "mkdir", "mktemp", "mv", "nice", "rm", "sort")


def pinned_version() -> str:
    lines = (TOOLS / "go.mod").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.strip().startswith("k8s.io/kubernetes v")).removeprefix("v")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder of programs that holds what the script may use, and no Go."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def put_program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def tools(path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script; its cache is beside the folder of programs."""
    given = {"PATH": str(path), "HOME": "/nonexistent", "XDG_CACHE_HOME": str(path.parent / "cache dir"), **environment}
    return subprocess.run([TOOLS / "build.sh", *words], env=given, capture_output=True, text=True, check=False)


def cache_of(path: Path) -> Path:
    return path.parent / "cache dir" / "modekeeper" / "kube"


def put_go(path: Path, version: str = "go1.26.8", fails_on: str = "none") -> None:
    """A Go that makes a program which says how it was built, and fails on one package."""
    text = f"""#!/bin/bash
if [[ $1 == env ]]; then echo {version}; exit; fi
out=; package=${{!#}}
while (($#)); do [[ $1 != -o ]] || out=$2; shift; done
echo "compiling $package"
[[ $package != *{fails_on} ]] || {{ echo 'no such thing' >&2; exit 1; }}
printf '#!/bin/sh\\n# %s cgo=%s toolchain=%s\\n' "$package" "$CGO_ENABLED" "$GOTOOLCHAIN" > "$out"
chmod 755 "$out"
"""
    put_program(path, "go", text)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ERROR: ")
    return last


def test_what_is_built_once_is_found_again(path: Path) -> None:
    put_go(path)
    built = tools(path)
    assert built.returncode == 0, built.stderr
    folder = cache_of(path) / pinned_version()
    assert built.stdout == f"{folder}\n"
    assert sorted(each.name for each in folder.iterdir()) == sorted(PROGRAMS)
    assert "cgo=0 toolchain=local" in (folder / "kubelet").read_text()
    assert "go.etcd.io/etcd/server/v3" in (folder / "etcd").read_text()
    (path / "go").unlink()
    for words in ((), ("--find",)):
        found = tools(path, *words)
        assert (found.returncode, found.stdout, found.stderr) == (0, built.stdout, "")


def test_a_build_that_fails_leaves_a_log_and_nothing_else(path: Path) -> None:
    put_go(path, fails_on="kube-scheduler")
    said = one_line(tools(path))
    log = cache_of(path) / f"{pinned_version()}.log"
    assert said.endswith(f"building kube-scheduler of Kubernetes {pinned_version()} failed: the log is {log}")
    assert log.read_text().splitlines()[-1] == "no such thing"
    assert list(cache_of(path).iterdir()) == [log]


def test_an_incomplete_cache_is_not_used_and_a_build_replaces_it(path: Path) -> None:
    folder = cache_of(path) / pinned_version()
    put_program(folder, "etcd", "#!/bin/sh\n# old\n")
    assert "run make cluster-tools" in one_line(tools(path, "--find"))
    put_go(path)
    assert tools(path).returncode == 0
    assert "old" not in (folder / "etcd").read_text()


def test_without_go_it_says_so(path: Path) -> None:
    assert "there is no go in PATH" in one_line(tools(path))


@pytest.mark.parametrize("version", ["go1.24.9", "go1.9", "nonsense", ""])
def test_a_go_that_is_too_old_is_refused(path: Path, version: str) -> None:
    put_go(path, version)
    said = one_line(tools(path))
    assert "Go 1.25.0 or newer" in said
    assert not cache_of(path).exists()


def test_a_folder_named_by_the_user_comes_first(path: Path) -> None:
    put_go(path)
    assert tools(path).returncode == 0
    named = path.parent / "assets"
    for name in PROGRAMS:
        put_program(named, name)
    assert tools(path, KUBEBUILDER_ASSETS=str(named)).stdout == f"{named}\n"


def test_a_folder_named_by_the_user_that_lacks_a_program_is_not_passed_over(path: Path) -> None:
    named = path.parent / "assets"
    for name in PROGRAMS[:3]:
        put_program(named, name)
    said = one_line(tools(path, "--find", KUBEBUILDER_ASSETS=str(named)))
    assert "no program 'kube-scheduler'" in said


def test_kwok_has_a_cache_of_its_own(path: Path) -> None:
    assert "run make cluster-tools" in one_line(tools(path, "--find", "kwok"))
    put_go(path)
    assets = {"KUBEBUILDER_ASSETS": str(path.parent / "assets")}  # which is Kubernetes' folder, and not looked into
    built = tools(path, "kwok", **assets)
    assert built.returncode == 0, built.stderr
    folder = Path(built.stdout.rstrip("\n"))
    assert folder.parent == cache_of(path).with_name("kwok")
    assert [each.name for each in folder.iterdir()] == ["kwok"]
    assert "sigs.k8s.io/kwok/cmd/kwok" in (folder / "kwok").read_text()
    assert tools(path, "--find", "kwok", **assets).stdout == built.stdout
    assert "run make cluster-tools" in one_line(tools(path, "--find"))


def test_an_unknown_word_is_refused(path: Path) -> None:
    assert "'--fnid'" in one_line(tools(path, "--fnid"))


def test_the_reason_for_a_skip_is_one_line_that_names_the_target(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneError) as refused:
        find_binaries({"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path)})
    assert str(refused.value) == (
        f"the binaries of Kubernetes {pinned_version()} are not built: run make cluster-tools"
    )


@pytest.mark.parametrize("required", [False, True])
def test_a_run_without_the_programs_says_so_and_fails_where_it_may_not_skip(tmp_path: Path, required: bool) -> None:
    """In a process of its own: what is asked here is how a whole run goes."""
    environment = {
        "PATH": os.environ["PATH"],
        "XDG_CACHE_HOME": str(tmp_path),
        "MODEKEEPER_REQUIRE_CLUSTER": str(int(required)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/cluster/test_audit.py"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "NOT tested against a real Kubernetes: the binaries of" in said
    assert "passed" not in said
    assert ("skipped" in said, "errors" in said) == (not required, required)
    assert done.returncode == int(required)


def test_shellcheck_finds_nothing() -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        warnings.filterwarnings("default", message="shellcheck is not installed")
        warnings.warn("shellcheck is not installed: the scripts are NOT linted here", stacklevel=1)
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        [tool, *TOOLS.glob("*.sh"), TOOLS.parents[2] / ".ci" / "run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
