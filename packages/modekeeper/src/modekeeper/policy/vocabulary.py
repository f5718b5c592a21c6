"""The words a chord catalog may use for invariants, and the causes a finding may name."""

__all__ = ["ANNOUNCED", "INPUT_BOUND", "INVARIANTS", "MEMORY_PRESSURE", "NO_MACHINE_TO_BLAME"]

INVARIANTS: dict[str, str] = {
    "approval": "a person agreed to this change",
    "cpu_request": "loader processes stay within the CPU request of the pod",
    "epoch_order_and_content": "the samples of an epoch and their order stay the same",
    "exact_previous_values": "every knob goes back to exactly the value it had",
    "global_batch": "microbatch size x accumulation steps x ranks stays exactly the same",
    "loss_not_worse": "the loss is no worse after the change than before",
    "memory_ceiling": "host and GPU memory stay below their ceilings",
    "no_change": "no knob is touched",
}
"""What must stay true while a chord acts, and what each name means.

The gates check what can be known beforehand (``approval``, ``exact_previous_values``, ``global_batch``,
``no_change``); the rest is watched afterwards, and a promise that ends worse takes the change back.
"""

INPUT_BOUND = "input_bound"
MEMORY_PRESSURE = "memory_pressure"

ANNOUNCED = frozenset({"announced_schedule", "announced_pause", "periodic_pause"})
"""Causes the job itself announced or repeats by design: nothing is wrong."""

NO_MACHINE_TO_BLAME = frozenset({"possible_stage_imbalance", "stage_imbalance"})
"""Causes that make whole groups of workers slower than others by construction."""
