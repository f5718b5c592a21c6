"""``mk passport …`` and ``--passport`` as a process: exit codes, one line, artifacts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_commands import DATA, mk
from tests.passports.documents import FULL, data, passport
from tests.published import check_all

from modekeeper.passports.passport import passport_bytes, passport_ref
from modekeeper.passports.templates import default_passport, load_template

PILOT, SAFE = load_template("pilot"), default_passport()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run.jsonl").write_bytes((DATA / "drift.jsonl").read_bytes())
    (tmp_path / "good.json").write_bytes(data())
    (tmp_path / "team.json").write_bytes(passport_bytes(passport(name="team", cooldown_s=60)))
    (tmp_path / "wide.json").write_bytes(data(approval={"hot": "none", "cold": "none", "advanced": "none"}))
    (tmp_path / "broken.json").write_bytes(data()[:-1])
    (tmp_path / "evil.json").write_bytes(b'{"a\\u001b[31m": 1, "a\\u001b[31m": 2}')
    (tmp_path / "pilot").write_bytes(data(name="not-pilot"))
    return tmp_path


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_the_templates_are_listed_the_strictest_first(folder: Path) -> None:
    done = mk("passport", "templates", cwd=folder)
    assert done.returncode == 0
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["passport", "pilot", "safe"]
    listed = json.loads(mk("passport", "templates", "--json", cwd=folder).stdout)
    assert [each["name"] for each in listed] == ["pilot", "safe"]


def test_one_passport_is_shown_with_everything_it_says(folder: Path) -> None:
    done = mk("passport", "show", "good.json", cwd=folder)
    assert done.returncode == 0
    for word in ("vision-train", "ml, vision", "RECOVER-RELOCK", "hot", "signed", "0.5 times", "from 2 to 16"):
        assert word in done.stdout
    for word in ("in steps of at most 2", "step_time_ms", "3600 s", "2 changes", passport_ref(PILOT).digest[:7]):
        assert word in done.stdout
    shown = mk("passport", "show", "pilot", "--json", cwd=folder)
    assert json.loads(shown.stdout) == json.loads(passport_bytes(PILOT))


def test_what_is_shown_as_json_is_the_beginning_of_ones_own(folder: Path) -> None:
    shown = mk("passport", "show", "safe", "--json", cwd=folder).stdout
    (folder / "own.json").write_text(shown.replace('"safe"', '"own"'))
    done = mk("passport", "validate", "--passport", "own.json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "own.json").write_text(shown.replace('"none"', '"operator"'))
    assert "reserved_name" in mk("passport", "validate", "--passport", "own.json", cwd=folder).stdout


@pytest.mark.parametrize(
    ("given", "code", "word"),
    [
        ("good.json", 0, "passport_ok=true name=vision-train digest=sha256:"),
        ("pilot", 0, "passport_ok=true name=pilot"),
        ("./pilot", 0, "passport_ok=true name=not-pilot"),
        ("wide.json", 2, "$.approval.cold: cold changes always need approval: 'operator' or 'signed' [widens]"),
        ("broken.json", 2, "[invalid_json]"),
        ("evil.json", 2, "[duplicate_key]"),
    ],
)
def test_a_passport_of_ones_own_is_checked(folder: Path, given: str, code: int, word: str) -> None:
    done = mk("passport", "validate", "--passport", given, "--out", "out", cwd=folder)
    assert done.returncode == code
    assert word in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == "" if code == 0 else done.stderr.startswith(f"ERROR: {given} is not a passport to use")
    assert check_all(folder / "out") >= 2
    found = report(folder / "out" / "passport_validate_latest.json")
    assert (found["ok"], found["passport"]) == (code == 0, given)
    assert (found["name"] is None) is (code != 0)
    assert bool(found["problems"]) is (code != 0)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["show", "pilto"], "no such passport 'pilto'. Did you mean 'pilot'?"),
        (["show", "nothing-like-it"], "no such passport 'nothing-like-it'. There is: pilot, safe; or give a file."),
        (["show", "./gone.json"], "cannot read './gone.json' as a passport: no such file or directory."),
        (["validate", "--passport", "."], "cannot read '.' as a passport"),
        (["show", "x" * 5000], "no such passport"),
        (["show", "./" + "x" * 5000], "as a passport: file name too long."),
        (["show", "wide.json"], "the passport cannot be used: $.approval.cold"),
        (["show", "evil.json"], "the passport cannot be used"),
        (["validate"], "Missing option '--passport'."),
        (["templates", "--out"], "no such option"),
    ],
)
def test_bad_input_is_one_line(folder: Path, words: list[str], line: str) -> None:
    done = mk("passport", *words, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("ERROR: ")
    assert line in done.stderr
    assert done.stderr.strip().isprintable()


KNOB = ("--knob", "dataloader_prefetch_factor=2", "--knob", "concurrency=4")


@pytest.mark.parametrize(
    ("given", "expected", "source"), [((), SAFE, "built-in"), (("--passport", "pilot"), PILOT, "built-in")]
)
def test_a_plan_and_its_reports_name_the_passport(folder: Path, given: Any, expected: Any, source: str) -> None:
    done = mk("plan", "--observe-path", "run.jsonl", *KNOB, *given, "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    ref = passport_ref(expected)
    plan = report(folder / "out" / "k8s_plan.json")
    assert plan["items"]
    assert plan["passport"] == {"name": ref.name, "digest": ref.digest}
    part = {"source": source, "name": ref.name, "digest": ref.digest}
    assert report(folder / "out" / "closed_loop_latest.json")["passport"] == part
    assert report(folder / "out" / "policy_bundle_latest.json")["policy"]["passport"] == part
    check_all(folder / "out")


@pytest.mark.parametrize(
    "command", [["plan"], ["closed-loop", "run"], ["watch", "--iterations", "1"], ["closed-loop", "watch"]]
)
@pytest.mark.parametrize("given", ["wide.json", "broken.json", "gone.json", "pilto"])
def test_nothing_is_decided_under_a_passport_that_cannot_be_read(folder: Path, command: list[str], given: str) -> None:
    done = mk(*command, "--observe-path", "run.jsonl", "--passport", given, "--out", "out", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR: refused (passport_denied): ")
    assert done.stderr.count("\n") == 1
    assert not (folder / "out" / "k8s_plan.json").exists()


def test_a_file_called_built_in_is_not_taken_for_what_comes_with_the_product(folder: Path) -> None:
    (folder / "built-in").write_bytes((folder / "team.json").read_bytes())
    words = ("--observe-path", "run.jsonl", "--passport", "built-in", "--out", "out")
    assert mk("plan", *words, cwd=folder).returncode == 0
    part = report(folder / "out" / "closed_loop_latest.json")["passport"]
    assert (part["source"], part["name"]) == ("./built-in", "team")


def test_a_passport_for_another_workload_holds_the_plan_back(folder: Path) -> None:
    done = mk("plan", "--observe-path", "run.jsonl", *KNOB, "--passport", "good.json", "--out", "out", cwd=folder)
    assert done.returncode == 0
    assert "blocked_reason=passport_denied" in done.stdout
    assert report(folder / "out" / "k8s_plan.json")["items"] == []


@pytest.mark.parametrize(
    ("made_under", "given", "denied"),
    [
        ((), (), False),
        ((), ("--passport", "safe"), False),
        (("--passport", "team.json"), ("--passport", "team.json"), False),
        (("--passport", "team.json"), (), True),
        (("--passport", "pilot"), ("--passport", "safe"), True),
        ((), ("--passport", "pilot"), True),
        ((), ("--passport", "wide.json"), True),
        ((), ("--passport", "gone.json"), True),
        ((), ("--passport", ""), True),
    ],
)
def test_an_apply_says_under_which_passport_and_whether_the_plan_was_made_under_it(
    folder: Path, made_under: Any, given: Any, denied: bool
) -> None:
    assert mk("plan", "--observe-path", "run.jsonl", *KNOB, *made_under, "--out", "plan", cwd=folder).returncode == 0
    done = mk("k8s", "apply", "--plan", "plan/k8s_plan.json", *given, "--out", "out", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    found = report(folder / "out" / "k8s_apply_latest.json")
    assert ("passport_denied" in found["block_reasons"]) is denied
    assert found["block_reason"] == "pro_not_installed"
    assert found["made_under"] == report(folder / "plan" / "k8s_plan.json")["passport"]
    built_in = not given or given[1] in {"pilot", "safe"}
    assert found["passport"]["source"] == ("built-in" if built_in else given[1])
    check_all(folder / "out")


def test_a_passport_that_cannot_be_read_is_told_before_what_else_is_missing(folder: Path) -> None:
    mk("plan", "--observe-path", "run.jsonl", *KNOB, "--out", "plan", cwd=folder)
    for given in ("wide.json", "gone.json"):
        done = mk("k8s", "apply", "--plan", "plan/k8s_plan.json", "--passport", given, "--out", "out", cwd=folder)
        assert done.stderr.startswith("ERROR: refused (passport_denied): ")
        assert report(folder / "out" / "k8s_apply_latest.json")["passport"] == {
            "source": given,
            "name": None,
            "digest": None,
        }


def test_the_document_of_the_tests_is_what_the_page_shows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "PASSPORTS.md").read_text()
    shown = page.split("```json\n")[1].split("```")[0]
    assert json.loads(shown) == FULL
