"""Which passport is in force, from what stands behind ``--passport``."""

import difflib
import os
from dataclasses import dataclass

from modekeeper.artifacts.contracts.parts import PassportPart
from modekeeper.cli.files import read_small_file
from modekeeper.model.errors import BadInputError, RefusedError
from modekeeper.passports.passport import Passport, passport_ref
from modekeeper.passports.reading import parse_passport
from modekeeper.passports.templates import TEMPLATES, default_passport, template_bytes
from modekeeper.policy.wording import shown
from modekeeper.ports.actuator import GivenFile
from modekeeper.reports.folder.decision_facts import BUILT_IN

__all__ = ["PassportChoice", "choose_passport", "given_passport"]


@dataclass(frozen=True, kw_only=True)
class PassportChoice:
    """A passport that was asked for, as far as it could be read."""

    file: GivenFile | None
    """What an actuator is given, which reads it anew; ``None``: none was named."""
    source: str
    passport: Passport | None
    fault: str | None
    """Why there is none; ``None`` where there is one."""

    def refusal(self) -> RefusedError:
        """What to tell where there is none: nothing is decided or applied under a passport that cannot be read."""
        why = (self.fault or "it cannot be read").rstrip(".")
        return RefusedError(
            f"refused (passport_denied): {why}. No other passport is put in its place; name one that can be used."
        )

    @property
    def part(self) -> PassportPart:
        """As reports carry it."""
        ref = passport_ref(self.passport) if self.passport is not None else None
        return PassportPart(
            source=self.source,
            name=ref.name if ref is not None else None,
            digest=ref.digest if ref is not None else None,
        )


def given_passport(named: str) -> GivenFile:
    """The bytes of a template, or of a file. A template's name always means the template: a file is ``./pilot``.

    Raises:
        BadInputError: there is no such template, and no such file to read.
    """
    if named in TEMPLATES:
        return GivenFile(path=BUILT_IN, data=template_bytes(named))
    if not os.path.lexists(named) and not {"/", "."} & set(named):
        close = difflib.get_close_matches(named, TEMPLATES, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(TEMPLATES)}; or give a file."
        raise BadInputError(f"no such passport {shown(named)!r}. {hint}")
    path = f"./{named}" if named == BUILT_IN else named  # a file of that name is not what comes with the product
    return GivenFile(path=path, data=read_small_file(named, "a passport"))


def choose_passport(named: str | None) -> PassportChoice:
    """The passport in force; what was named and is no passport leaves none, and never the built-in one."""
    if named is None:
        return PassportChoice(file=None, source=BUILT_IN, passport=default_passport(), fault=None)
    try:
        file = given_passport(named)
    except BadInputError as error:
        # Handed on as nothing at all: no actuator takes that for a passport, or for none having been named.
        return PassportChoice(file=GivenFile(path=named, data=b""), source=named, passport=None, fault=str(error))
    try:
        return PassportChoice(file=file, source=file.path, passport=parse_passport(file.data), fault=None)
    except BadInputError as error:
        return PassportChoice(file=file, source=file.path, passport=None, fault=f"{shown(named, 300)}: {error}")
