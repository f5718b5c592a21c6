"""The page about pod logs says what the code does."""

import re
from pathlib import Path

from modekeeper.telemetry.aggregates import AGGREGATES
from modekeeper.telemetry.pods.order import ORDER_LABELS
from modekeeper.telemetry.pods.recording import RECORDING_SCHEMA
from modekeeper.telemetry.pods.selection import POD_LABELS
from modekeeper.telemetry.rank_merge import MergeLimits

PAGE = (Path(__file__).parents[3] / "docs" / "POD_LOGS.md").read_text(encoding="utf-8")


def test_the_table_of_aggregates_is_that_of_the_code() -> None:
    _, _, rest = PAGE.partition("a test compares the two -->")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", rest.partition("\n\n")[0], re.MULTILINE)
    assert dict(rows) == AGGREGATES


def test_labels_limits_and_the_header_are_named() -> None:
    for kind, label in POD_LABELS.items():
        assert re.search(rf"^\| [^|]*\b{kind}\b[^|]*\| `{re.escape(label)}`", PAGE, re.MULTILINE), kind
    for index, group, _ in ORDER_LABELS:
        assert f"`{index}`" in PAGE
        assert group is None or group == "training.kubeflow.org/replica-type" or f"`{group}`" in PAGE
    limits = MergeLimits()
    assert f"{limits.window_steps} steps at least" in PAGE
    assert f"{limits.window_records:,} records" in PAGE
    assert f"more than {limits.window_s:.0f} s of the nodes' time" in PAGE
    assert f'"schema": "{RECORDING_SCHEMA}"' in PAGE
