"""Coverage-guided fuzzing of the whole way from bytes to samples, with atheris (libFuzzer).

    python -m tests.telemetry.fuzz_parser RUNS [SEED]

Exits with 0 when nothing was found; else the input that broke a rule is printed by libFuzzer.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["modekeeper.telemetry"]):
    from tests.data.observe.generate import FOLDER
    from tests.telemetry.feeding import drain, source_of

    from modekeeper.model.errors import FailedError
    from modekeeper.telemetry.limits import IngestLimits

LIMITS = IngestLimits(max_line_bytes=2000, reorder_records=6, duplicate_records=10, block_records=9)
DICTIONARY = (
    "ts", "ts_ms", "timestamp", "step", "step_time_ms", "latency_ms", "loss", "worker_latencies_ms",
    "worker_groups", "knobs", "knob.x", "node", "NaN", "Infinity", "1e400", "2026-01-01T00:00:00Z",
    "\\xef\\xbb\\xbf", "\\x1f\\x8b\\x08", "\\x28\\xb5\\x2f\\xfd", "ts,step,step_time_ms\\x0a",
)  # fmt: skip


def check(data: bytes) -> None:
    """Reading never raises, adds up, keeps order, and does not depend on how the bytes came."""
    sizes = [1 + byte for byte in data[:3]] or [1]
    body = data[3:]
    try:
        whole = source_of(body, limits=LIMITS)
        rows = drain(whole)
    except FailedError:
        return
    pieces = source_of(body, sizes, limits=LIMITS)
    if drain(pieces) != rows or pieces.counters() != whole.counters():
        raise AssertionError(f"read sizes {sizes} change the result")


def main() -> None:
    runs, seed = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "1"
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for trace in sorted(FOLDER.glob("*.jsonl")):
            lines = trace.read_bytes().splitlines(keepends=True)
            for number in range(0, len(lines), 24):
                (corpus / f"{trace.name}-{number}").write_bytes(b"\x20\x40\x80" + b"".join(lines[number : number + 6]))
        (corpus / "table").write_bytes(b"\x05\x05\x05ts,step,step_time_ms,loss\n1,2,3,4\n2,3,4,nan\n")
        words = Path(folder) / "words"
        words.write_text("".join(f'"{word}"\n' for word in DICTIONARY))
        arguments = [
            f"-runs={runs}",
            f"-seed={seed}",
            "-max_len=4000",
            f"-dict={words}",
            "-timeout=20",
            str(corpus),
        ]
        atheris.Setup([sys.argv[0], *arguments], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
