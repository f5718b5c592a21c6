"""The chord catalog: which macro-operations exist, and the envelope each must stay in.

A catalog says what a chord touches and under which conditions, never to which value: targets are decided from
evidence at run time, and a document that could carry them would be a remote control.
"""

import pkgutil
from functools import cache

from modekeeper.model.errors import FailedError
from modekeeper.policy.catalog_check import CatalogCheck, validate_catalog
from modekeeper.policy.catalog_trust import CatalogChoice, choose_catalog, effective_catalog
from modekeeper.policy.chord_spec import (
    CATALOG_SCHEMA,
    HOLD_CHORD,
    RELOCK_CHORD,
    Budget,
    Catalog,
    ChordSpec,
    catalog_digest,
    find_chord,
)
from modekeeper.policy.strict_json import Problem

__all__ = [
    "CATALOG_SCHEMA",
    "HOLD_CHORD",
    "RELOCK_CHORD",
    "Budget",
    "Catalog",
    "CatalogCheck",
    "CatalogChoice",
    "ChordSpec",
    "Problem",
    "catalog_digest",
    "choose_catalog",
    "effective_catalog",
    "find_chord",
    "load_default",
    "validate_catalog",
]


@cache
def load_default() -> Catalog:
    """The built-in catalog.

    Raises:
        FailedError: the installation is damaged.
    """
    check = validate_catalog(pkgutil.get_data("modekeeper.policy", f"data/{CATALOG_SCHEMA}.json") or b"")
    if check.catalog is None:
        raise FailedError(f"the built-in chord catalog is damaged: {check.problems[0].message}; install again")
    return check.catalog
