"""A trainer whose loader starves after a while, for a pod of the tests: what it has trained so far, then live steps.

It runs by itself in a container (``python -c``), with nothing but the standard library. All pods of a job print the
same steps with the same times, each its own step time, as ranks of synchronous training do. ``BEGAN_S`` is when step 0
ended.
"""

import json
import os
import time

STEPS_BEFORE = 900
ONSET = 500
STEP_S = 1.0
LIVE_STEP_S = 0.2


def record(step: int, ended_s: float, offset_ms: float) -> dict[str, float | int]:
    """Step times around 400 ms with a little noise of its own; from ``ONSET`` on, 160 ms more, all of it waiting."""
    noise_ms = (step * 7919 % 101) / 101 * 8 - 4
    wait_ms = 20 + (160 if step >= ONSET else 0) + noise_ms / 4
    step_time_ms = 380 + wait_ms + noise_ms + offset_ms
    return {
        "ts_ms": round(ended_s * 1000),
        "step": step,
        "step_time_ms": round(step_time_ms, 3),
        "data_wait_ms": round(wait_ms, 3),
        "loss": round(3.0 - step / 1000, 4),
        "throughput": round(64_000 / step_time_ms, 3),
    }


def main() -> None:
    began_s = float(os.environ["BEGAN_S"])
    # Any pod is a little faster or slower than the others, by its name.
    offset_ms = sum(os.environ["HOSTNAME"].encode()) % 7 - 3.0
    for step in range(STEPS_BEFORE):
        print(json.dumps(record(step, began_s + step * STEP_S, offset_ms)))
    step = STEPS_BEFORE
    while True:
        time.sleep(LIVE_STEP_S)
        print(json.dumps(record(step, began_s + step * STEP_S, offset_ms)), flush=True)
        step += 1


if __name__ == "__main__":
    main()
