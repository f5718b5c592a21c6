"""A process that has everything loaded, and makes a child of itself for each apply or rollback, which may kill itself.

It reads a line of JSON for each child from its input, and writes one with how the child ended. A child that is to be
killed sends itself SIGKILL, in the middle of whatever it does: nothing is tidied up, no buffer is flushed, no lock is
given back but by the kernel.

    {"folder": …, "kubeconfig": …, "environment": {…}, "client": "api", "operation": "apply", "plan": path,
     "verification": path, "point": "receipt", "count": 2, "after": true, "after_s": null,
     "once": path of a file that is waited for}
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster.door.stages import SWITCH_FILE, Signals
from tests.door.doors import Licence

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import SystemClock
from modekeeper.cluster.opening import ClusterChoice, open_reader
from modekeeper.model.errors import ModeKeeperError
from modekeeper_pro.door import apply as apply_module
from modekeeper_pro.door import rollback as rollback_module
from modekeeper_pro.door import writing as writing_module
from modekeeper_pro.door._writers.api import ApiWriter
from modekeeper_pro.door._writers.kubectl import KubectlWriter
from modekeeper_pro.door.apply import apply
from modekeeper_pro.door.case import ApplyRequest
from modekeeper_pro.door.journal import Journal
from modekeeper_pro.door.opening import open_writer
from modekeeper_pro.door.ports import DoorPorts
from modekeeper_pro.door.rollback import rollback

__all__ = ["DONE", "NOT_DONE", "POINTS"]

DONE, NOT_DONE, REFUSED = 0, 1, 2

POINTS: dict[str, list[tuple[Any, str]]] = {
    "1 the plan is parsed": [(apply_module, "parse_plan")],
    "1 the verification is parsed": [(apply_module, "parse_verification")],
    "2 runs are settled": [(apply_module, "settled"), (rollback_module, "settled")],
    "2 facts": [(apply_module, "item_cases")],
    "3 gates": [(apply_module, "judge"), (rollback_module, "_verdicts")],
    "4 rehearsal": [(apply_module, "rehearse"), (rollback_module, "rehearse")],
    "5 undo record": [(writing_module, "write_record")],
    "6 look": [(writing_module, "looked")],
    "6 write": [(ApiWriter, "write"), (KubectlWriter, "write")],
    "7 read back": [(writing_module, "current")],
    "7 receipt": [(writing_module, "write_receipt")],
    "line of the journal": [(Journal, "add")],
    "a file of the store": [(FolderStore, "write_bytes")],
    "wait for the disk": [(os, "fsync")],
}
"""What a child may be killed before or after, and where that is done."""


def hook(point: str, count: int, *, after: bool) -> None:
    """From now on the ``count``-th call of ``point`` is the end of this process."""
    calls = [0]
    for owner, name in POINTS[point]:
        real = getattr(owner, name)

        def wrapped(*args: Any, _real: Any = real, **fields: Any) -> Any:
            calls[0] += 1
            mine = calls[0] == count
            if mine and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = _real(*args, **fields)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, wrapped)


def child(asked: dict[str, Any]) -> int:
    folder, clock, environment = Path(asked["folder"]), SystemClock(), asked["environment"]
    kubeconfig = Path(asked["kubeconfig"])
    choice = ClusterChoice(client=asked["client"], kubeconfig=kubeconfig, request_timeout_s=20)
    reader = open_reader(choice, clock=clock, environment=environment)
    writer = open_writer(
        asked["client"],
        kubeconfig=kubeconfig,
        context=None,
        clock=clock,
        environment=environment,
        request_timeout_s=20,
    )
    ports = DoorPorts(
        reader=reader,
        writer=writer,
        licence=Licence(),
        switches=Signals(reader, folder / SWITCH_FILE),
        clock=clock,
        files=FolderStore(folder),
    )
    if asked.get("point") is not None:
        hook(asked["point"], asked["count"], after=asked["after"])
    try:
        if asked["operation"] == "apply":
            plan, verification = (Path(asked[name]).read_bytes() for name in ("plan", "verification"))
            request = ApplyRequest(plan=plan, verification=verification, approve_advanced=True)
            return DONE if apply(request, ports).ok else NOT_DONE
        return DONE if rollback(None, ports).ok else NOT_DONE
    except ModeKeeperError as error:
        print(error, file=sys.stderr)
        return REFUSED


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        number = os.fork()
        if not number:
            status = 70
            try:
                status = child(asked)
            finally:
                os._exit(status)
        while asked.get("once") is not None and not Path(asked["once"]).exists():
            time.sleep(0.01)
        if asked.get("after_s") is not None:
            time.sleep(asked["after_s"])
            os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        print(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
