"""Approved changes for tests of the plans."""

from tests.gates.cases import action, proposal

from modekeeper.model.decision import Action, Target
from modekeeper.planning.plan import ApprovedChange

TRAINER = Target(namespace="ml", kind="Deployment", name="trainer")
WORKERS = action("concurrency", 4.0, 6.0)
PREFETCH = action("dataloader_prefetch_factor", 2.0, 3.0)
BUCKET = action("comm_bucket_mb", 25.0, 50.0)


def change(*actions: Action, target: Target = TRAINER, chord_id: str = "DRIFT-RETUNE") -> ApprovedChange:
    return ApprovedChange(target=target, proposal=proposal(chord_id, *actions))
