"""Every ``mk-approve`` line of the documentation is one that the command accepts."""

import shlex
from collections.abc import Iterator

import click
import pytest
from tests.docs.test_docs import PAGES, command_lines

from modekeeper_pro.approving.main import root


def documented() -> Iterator[list[str]]:
    for page in PAGES:
        for line in command_lines(page.read_text(encoding="utf-8")):
            if line.startswith("mk-approve "):
                yield shlex.split(line)[1:]


def parse(words: list[str]) -> None:
    context = click.Context(root, info_name="mk-approve")
    _name, command, rest = root.resolve_command(context, list(words))
    assert command is not None
    command.make_context(command.name, rest, parent=context)


@pytest.mark.parametrize("words", list(documented()), ids=" ".join)
def test_the_command_accepts_it(words: list[str]) -> None:
    parse(words)


def test_there_are_lines_and_a_wrong_one_would_be_noticed() -> None:
    assert {words[0] for words in documented()} >= {"keygen", "sign"}
    with pytest.raises(click.UsageError):
        parse(["sign", "--plan", "x"])
