"""Every artifact against its golden file and its published schema; two runs give the same bytes."""

import json
import shutil
from pathlib import Path

import pytest
from tests.golden.cases import CASES, EXPECTED, golden, run_case, same, tree
from tests.published import SCHEMAS, check_all

NO_SCHEMA = {
    "report.html",
    "report.svg",
    "report.png",
    "summary.md",
    "eval_summary.md",
    "watch_summary.md",
    "k8s_plan.kubectl.sh",
}
EXIT_CODES = {"closed-loop-apply": 2, "chords-validate": 2}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, Path]:
    name: str = request.param
    code, out = run_case(name, tmp_path_factory.mktemp(name))
    return name, code, out


def test_the_exit_code_is_the_specified_one(case: tuple[str, int, Path]) -> None:
    name, code, _ = case
    assert code == EXIT_CODES.get(name, 0)


def test_the_artifacts_are_the_golden_ones(case: tuple[str, int, Path]) -> None:
    name, _, out = case
    got = golden(tree(out))
    expected = tree(EXPECTED / name)
    assert sorted(got) == sorted(expected)
    different = [file for file in got if not same(expected[file], got[file], file)]
    assert different == [], "python -m tests.golden.regenerate writes them anew; read the diff"


def test_every_artifact_is_valid_by_its_published_schema(case: tuple[str, int, Path]) -> None:
    _, _, out = case
    assert check_all(out)
    unknown = [path.name for path in out.rglob("*") if path.is_file() and not _is_known(path.name)]
    assert unknown == []


def _is_known(name: str) -> bool:
    return name in SCHEMAS or name in NO_SCHEMA or "_20260131T" in name or name.startswith(".")


def test_every_report_has_its_twin_with_a_time_in_its_name(case: tuple[str, int, Path]) -> None:
    _, _, out = case
    for latest in out.rglob("*_latest.json"):
        twin = latest.with_name(latest.name.replace("_latest", "_20260131T090000000Z"))
        other = latest.with_name(latest.name.replace("_latest", "_20260131T090030000Z"))
        assert latest.read_bytes() in [p.read_bytes() for p in (twin, other) if p.is_file()]


def test_artifacts_have_sorted_keys_and_one_final_newline(case: tuple[str, int, Path]) -> None:
    _, _, out = case
    for path in out.rglob("*.json"):
        if path.name == "watch_state.json":
            continue  # for the next process alone, after every iteration: on one line
        text = path.read_text()
        assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_two_runs_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    trees = []
    for _ in range(2):
        _, out = run_case(name, tmp_path)
        trees.append({p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()})
        shutil.rmtree(out)
    assert trees[0] == trees[1]
