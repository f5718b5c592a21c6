"""The passports that come with the product."""

import pkgutil
from functools import cache

from modekeeper.model.errors import FailedError
from modekeeper.passports.passport import Passport
from modekeeper.passports.passport_check import check_document

__all__ = ["DEFAULT_TEMPLATE", "TEMPLATES", "default_passport", "load_template", "template_bytes"]

TEMPLATES = ("pilot", "safe")
"""The strictest first."""
DEFAULT_TEMPLATE = "safe"
"""What counts where nobody names a passport: the product as it is without one."""


def template_bytes(name: str) -> bytes:
    """The document of a template.

    Raises:
        KeyError: there is no such template.
    """
    if name not in TEMPLATES:
        raise KeyError(name)
    return pkgutil.get_data("modekeeper.passports", f"data/{name}.passport.v0.json") or b""


@cache
def load_template(name: str) -> Passport:
    """A template.

    Raises:
        KeyError: there is no such template.
        FailedError: the installation is damaged.
    """
    check = check_document(template_bytes(name))
    if check.passport is None or check.passport.name != name:
        raise FailedError(f"the built-in passport {name!r} is damaged; install again")
    return check.passport


def default_passport() -> Passport:
    """The passport that counts where nobody names one.

    Raises:
        FailedError: the installation is damaged.
    """
    return load_template(DEFAULT_TEMPLATE)
