"""The documentation agrees with the product: links, command lines, generated parts, names."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from modekeeper.cli.commands import COMMANDS
from modekeeper.cli.tree import root
from modekeeper.model.errors import BadInputError
from modekeeper.reports.published_schemas import SCHEMAS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "packages" / "modekeeper" / "README.md",
    ROOT / "examples" / "trainer" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
"""Every page a reader may come to."""

_FENCE = re.compile(r"^```(?P<language>[a-z]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELLS = frozenset({"sh", "bash", "console", "shell"})
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_MK = re.compile(r"(?:.*/)?mk")

CONTRACTS = (ROOT / "docs" / "CLI_CONTRACTS.md").read_text(encoding="utf-8")
SOURCE = ROOT / "packages" / "modekeeper" / "src" / "modekeeper"
WRITTEN = [
    "QUICKSTART", "TELEMETRY", "DETECTORS", "MODES", "CHORDS", "CLI_CONTRACTS", "WATCH", "REPRODUCIBILITY",
    "DEFINITION_OF_DONE", "SNAPSHOT", "SECURITY", "PREFLIGHT", "PLAYBOOKS", "WORKFLOW", "APPROVALS", "PASSPORTS",
]  # fmt: skip


def links(text: str) -> list[str]:
    """Targets of the links of a page; code is not looked at."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return [match["target"] for match in _LINK.finditer(prose)]


def command_lines(text: str) -> Iterator[str]:
    """Lines of shell code: fenced as such, or indented."""
    for match in _FENCE.finditer(text):
        if match["language"] in _SHELLS:
            yield from match["body"].replace("\\\n", " ").splitlines()
    yield from (line[4:] for line in _FENCE.sub("", text).splitlines() if line.startswith("    "))


def mk_words(line: str) -> Iterator[list[str]]:
    """What follows ``mk`` in each part of a line; parts end at pipes and the like, and at redirections."""
    lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    part: list[str] = []
    ended = False
    for token in [*lexer, "|"]:
        if token and set(token) <= set("|&;()"):
            words = [*part]
            while words and _ASSIGNMENT.fullmatch(words[0]):
                words.pop(0)
            if words and _MK.fullmatch(words[0]):
                yield words[1:]
            part, ended = [], False
        elif token and set(token) <= set("<>"):
            ended = True
        elif not ended:
            part.append(token)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as Git hosts make them."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def parse(words: list[str]) -> None:
    """Parse one command line as ``mk`` does, without running it.

    Raises:
        click.UsageError: an option or a value is not accepted.
        BadInputError: there is no such command.
    """
    command: click.Command = root
    context = click.Context(root, info_name="mk")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    try:
        command.make_context(command.name, rest, parent=context.parent)
    except click.exceptions.Exit:
        assert "--help" in words or "-h" in words


def documented() -> Iterator[Any]:
    for page in PAGES:
        for line in command_lines(page.read_text(encoding="utf-8")):
            for words in mk_words(line) if re.search(r"\bmk\b", line) else ():
                if words != ["--version"]:
                    yield pytest.param(words, id=f"{name_of(page)}: mk {' '.join(words)}")


@pytest.mark.parametrize("words", list(documented()))
def test_every_command_line_is_one_the_product_accepts(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize("line", ["mk plann", "mk plan --observe-pth x", "mk watch --interval soon", "mk eval file"])
def test_a_wrong_command_line_would_be_noticed(line: str) -> None:
    (words,) = mk_words(line)
    with pytest.raises((click.UsageError, BadInputError)):
        parse(words)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("zcat a.gz | mk eval file --path - > out.txt", [["eval", "file", "--path", "-"]]),
        ("A=1 .venv/bin/mk plan --out 'a b'  # why", [["plan", "--out", "a b"]]),
        ("echo mk plan", []),
        ('eval "$(mk completion zsh)"', []),
        ("mk doctor && mk --version", [["doctor"], ["--version"]]),
    ],
)
def test_command_lines_are_found_in_lines_of_shell(line: str, found: list[list[str]]) -> None:
    assert list(mk_words(line)) == found


def test_the_pages_hold_many_command_lines() -> None:
    assert len(list(documented())) > 40


def test_generated_parts_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_is_in_the_contracts(command: Any) -> None:
    assert f"`mk {' '.join(command.words)}`" in CONTRACTS


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_in_the_contracts(name: str) -> None:
    assert f"`{name}`" in CONTRACTS


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "chord_catalog.v1"])
def test_every_field_of_an_artifact_is_in_the_contracts(name: str) -> None:
    schema = json.loads((SOURCE / "artifacts" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    named = {word.removesuffix("[]") for word in re.findall(r"`([\w.…\[\]]+)`", CONTRACTS)}
    assert sorted(set(schema["properties"]) - named) == []


def test_every_explain_event_is_in_the_contracts() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py")))
    events = set(re.findall(r"explain\.add(?:_at)?\(\s*(?:\w+, )?\"(\w+)\"", text))
    assert {"run_started", "decision", "session_stopped"} <= events
    assert sorted(event for event in events if f"| `{event}` |" not in CONTRACTS) == []


def test_every_variable_the_product_reads_is_in_the_contracts() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py")))
    variables = set(re.findall(r"\"(MODEKEEPER_[A-Z_]+|KUBE[A-Z]+)\"", text))
    assert {"MODEKEEPER_KILL_SWITCH", "MODEKEEPER_PINNED_CLOCK"} <= variables
    assert sorted(name for name in variables if f"`{name}`" not in CONTRACTS) == []


@pytest.mark.parametrize("stem", WRITTEN)
def test_the_page_is_there_and_linked(stem: str) -> None:
    page = ROOT / "docs" / f"{stem}.md"
    assert page.read_text(encoding="utf-8").startswith("# ")
    others = [other.read_text(encoding="utf-8") for other in PAGES if other != page]
    assert any(f"{stem}.md" in link for text in others for link in links(text))


def test_the_package_page_offers_no_editable_install() -> None:
    text = (ROOT / "packages" / "modekeeper" / "README.md").read_text(encoding="utf-8")
    assert "python -m pip install -U modekeeper" in text
    assert not re.search(r"pip install (-e|--editable)", text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_the_host_of_a_registry(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?i)\b(?:pypi|npmjs|crates|ghcr|docker|quay|gcr)\.(?:org|io|com)\b", text) == []
