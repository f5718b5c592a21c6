"""A passport from outside: hostile until every field of it is accounted for."""

from modekeeper.model.errors import BadInputError
from modekeeper.passports.passport import Passport
from modekeeper.passports.passport_check import PassportCheck, check_document
from modekeeper.passports.templates import TEMPLATES, load_template
from modekeeper.policy.strict_json import Problem
from modekeeper.policy.wording import shown

__all__ = ["check_passport", "parse_passport"]


def check_passport(data: bytes) -> PassportCheck:
    """Check the bytes of a ``passport.v0`` document; every problem is named.

    The name of a template belongs to the template: nothing else may be called that.

    Raises:
        FailedError: the installation is damaged.
    """
    check = check_document(data)
    passport = check.passport
    if passport is None or passport.name not in TEMPLATES or passport == load_template(passport.name):
        return check
    text = f"{shown(passport.name)!r} is the name of a built-in passport, and this is not that one: choose another"
    return PassportCheck(problems=(Problem(path="$.name", code="reserved_name", message=text),), passport=None)


def parse_passport(data: bytes) -> Passport:
    """The passport in ``data``.

    Raises:
        BadInputError: it is none, or would widen what the product allows; one line.
        FailedError: the installation is damaged.
    """
    check = check_passport(data)
    if check.passport is not None:
        return check.passport
    first, more = check.problems[0], len(check.problems) - 1
    rest = f", and {more} more" if more else ""
    raise BadInputError(
        f"the passport cannot be used: {first.path}: {first.message} [{first.code}]{rest}; "
        f"see 'mk passport validate --passport FILE'"
    )
