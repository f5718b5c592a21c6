"""Writes the generated parts of the documentation, or with ``--check`` fails when one is stale.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` in a Markdown file.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from modekeeper.cli.commands import COMMANDS, HEADINGS, overview
from modekeeper.model.ingest import DropReason, RepairReason
from modekeeper.modes.table import EDGES
from modekeeper.policy.catalog import load_default
from modekeeper.policy.knobs import KNOBS
from modekeeper.reports.mode_diagram import edge_table, mermaid
from modekeeper.reports.published_schemas import schema_files
from modekeeper.telemetry.fields import FIELDS

ROOT = Path(__file__).parents[1]
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> str:
    lines = ["| command | what it does |", "|---|---|"]
    for heading in HEADINGS:
        lines += [f"| `mk {' '.join(c.words)}` | {c.summary} |" for c in COMMANDS if c.heading == heading]
    return "\n".join(lines) + "\n"


def knobs() -> str:
    lines = [
        "| knob | tier | unit | from | to | step | takes effect | all ranks together | costs |",
        "|---|---|---|--:|--:|--:|---|---|---|",
    ]
    lines += [
        f"| `{k.name}` | {k.tier} | {k.unit} | {k.lower:,.10g} | {k.upper:,.10g} | {k.step:,.10g} | {k.actuation} | "
        f"{'yes' if k.ranks_must_agree else 'no'} | {k.cost} |"
        for k in KNOBS
    ]
    return "\n".join(lines) + "\n"


def chords() -> str:
    lines = ["| chord | tier | acts when | touches | must stay true | intent |", "|---|---|---|---|---|---|"]
    lines += [
        f"| `{c.id}` | {c.risk_tier} | {', '.join(c.required_signals) or 'always'} | "
        f"{', '.join(f'`{k}`' for k in c.knobs_touched) or '-'} | {', '.join(c.invariants) or '-'} | {c.intent} |"
        for c in load_default().chords
    ]
    return "\n".join(lines) + "\n"


def telemetry_fields() -> str:
    lines = ["| field | also called | unit | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{f.name}` | {', '.join(f'`{a.name}`' for a in f.aliases) or '-'} | {f.unit or '-'} | {f.meaning} |"
        for f in FIELDS
    ]
    return "\n".join(lines) + "\n"


def ingest_reasons() -> str:
    dropped = ", ".join(f"`{reason}`" for reason in DropReason)
    repaired = ", ".join(f"`{reason}`" for reason in RepairReason)
    return f"Dropped: {dropped}.\n\nRepaired: {repaired}.\n"


PARTS: dict[str, Callable[[], str]] = {
    "overview": lambda: f"```\n$ mk --help\n{overview().rstrip()}\n```\n",
    "commands": commands,
    "mode-diagram": lambda: f"```mermaid\n{mermaid(EDGES).rstrip()}\n```\n",
    "mode-table": lambda: edge_table(EDGES).rstrip() + "\n",
    "knobs": knobs,
    "chords": chords,
    "telemetry-fields": telemetry_fields,
    "ingest-reasons": ingest_reasons,
}


def expected() -> dict[Path, bytes]:
    """Every file that holds a generated part, with the content it should have."""
    files: dict[Path, bytes] = {}
    for path in [
        ROOT / "README.md",
        ROOT / "packages/modekeeper/README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]:
        text = path.read_text()
        new = PART.sub(lambda match: match[1] + PARTS[match["name"]]() + match[3], text)
        if "<!-- generated:" in text:
            files[path] = new.encode()
    schemas = ROOT / "packages/modekeeper/src/modekeeper/artifacts/schemas"
    files.update({schemas / name: data for name, data in schema_files().items()})
    return files


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = [path for path, data in expected().items() if not path.is_file() or path.read_bytes() != data]
    if check:
        for path in stale:
            print(f"stale: {path.relative_to(ROOT)} (make docs writes it)")
        print(f"{len(stale)} stale")
        return 1 if stale else 0
    wanted = expected()
    for path in stale:
        path.write_bytes(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
