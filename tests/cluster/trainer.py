"""A trainer for a pod of the tests: one JSON line a step on standard output, with the knobs of its pod's annotations.

It runs by itself in a container (``python -c``), with nothing but the standard library. The environment says how it
trains: ``STEP_TIME_MS`` how long a step takes, ``RANK`` which worker it is, ``ANNOTATIONS`` the Downward API file.
"""

import ast
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

KNOB = "modekeeper/knob."


def knobs(annotations: str) -> dict[str, float]:
    """The knobs in a Downward API file: a line for each annotation, ``key="value"`` with the escapes of Go."""
    pairs = (line.partition("=") for line in annotations.splitlines())
    return {key.removeprefix(KNOB): float(ast.literal_eval(value)) for key, _, value in pairs if key.startswith(KNOB)}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default action
    file = Path(os.environ.get("ANNOTATIONS", "/etc/podinfo/annotations"))
    step_time_ms = float(os.environ.get("STEP_TIME_MS", "100"))
    rank = int(os.environ.get("RANK", "0"))
    step = 0
    held: dict[str, float] = {}
    while True:
        time.sleep(step_time_ms / 1000)
        now_ms = time.time_ns() // 1_000_000
        # The kubelet swaps the folder behind a link and removes the old one: a reader on its way there finds nothing.
        with suppress(FileNotFoundError):
            held = knobs(file.read_text())
        record = {"ts_ms": now_ms, "step": step, "step_time_ms": step_time_ms, "rank": rank, "knobs": held}
        print(json.dumps(record), flush=True)
        step += 1


if __name__ == "__main__":
    main()
