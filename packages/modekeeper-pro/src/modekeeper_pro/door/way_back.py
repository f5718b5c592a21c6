"""``rollback_plan_latest.json`` of an apply: the way back as people and other tools read it. Step 5 of docs/DOOR.md.

The door itself goes back by ``undo.json``, which also knows the pods and the uids.
"""

from collections.abc import Sequence
from datetime import datetime

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.times import file_stamp
from modekeeper.model.cluster import ObjectRef
from modekeeper.model.decision import Plan
from modekeeper.planning.undo import rollback_plan_of
from modekeeper_pro.door.case import ItemCase
from modekeeper_pro.door.ports import Files
from modekeeper_pro.door.runs import Runs

__all__ = ["WAY_BACK", "write_way_back"]

WAY_BACK = "rollback_plan_latest.json"


def write_way_back(files: Files, plan: Plan, items: Sequence[ItemCase], runs: Runs, now: datetime) -> None:
    """Write it, from what the door found in the cluster: of what an earlier run of the plan wrote, before that run.

    Raises:
        FailedError: the disk did not take it; nothing was changed yet.
    """
    first: dict[tuple[ObjectRef, str, tuple[str, ...]], dict[str, str | None]] = {}
    for _past, write in runs.standing(plan.digest):
        first.setdefault((write.ref, write.uid, write.place), write.before)
    writes = [each.wanted[0].write for each in items]
    held = [first.get((write.ref, write.uid, write.place), write.before) for write in writes]
    data = document(rollback_plan_of(plan, held))
    files.write_bytes(f"rollback_plan_{file_stamp(now)}.json", data)
    files.write_bytes(WAY_BACK, data)
