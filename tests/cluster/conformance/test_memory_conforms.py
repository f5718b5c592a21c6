"""The cluster held in memory does what every reader does."""

from collections.abc import Callable

import pytest
from tests.cluster.conformance.rules import RULES
from tests.cluster.conformance.world import MemoryWorld, World


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_memory(rule: Callable[[World], None]) -> None:
    rule(MemoryWorld())
