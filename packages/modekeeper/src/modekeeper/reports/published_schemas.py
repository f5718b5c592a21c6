"""Writes the published JSON Schemas (draft 2020-12) from the artifact types: ``make schemas``."""

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.artifacts.canonical import document
from modekeeper.artifacts.contracts.bundle import PolicyBundle
from modekeeper.artifacts.contracts.k8s_apply import K8sApplyReport
from modekeeper.artifacts.contracts.k8s_render import K8sRenderReport
from modekeeper.artifacts.contracts.k8s_verify import K8sVerifyReport
from modekeeper.artifacts.contracts.license_verify import LicenseVerifyReport
from modekeeper.artifacts.contracts.preflight import PreflightReport
from modekeeper.artifacts.contracts.reports import (
    ChordsValidateReport,
    ClosedLoopReport,
    DoctorReport,
    EvalReport,
    ObserveReport,
    PassportValidateReport,
    QuickstartReport,
    WatchReport,
)
from modekeeper.artifacts.explain import ExplainEvent
from modekeeper.model.decision import Plan
from modekeeper.model.trace import TraceEvent
from modekeeper.passports.passport import Passport
from modekeeper.planning.undo import RollbackPlan
from modekeeper.policy.chord_spec import Catalog
from modekeeper.reports.folder.watch_state import WatchState
from modekeeper.trust.documents import ApprovalDocument, IssuerKeysetDocument, KeyringDocument, LicenseDocument
from modekeeper.trust.state import TrustState

__all__ = ["SCHEMAS", "schema_files"]

SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "approval.v1": ApprovalDocument,
    "chord_catalog.v1": Catalog,
    "chords_validate.v0": ChordsValidateReport,
    "closed_loop.v0": ClosedLoopReport,
    "decision_trace_event.v0": TraceEvent,
    "doctor.v0": DoctorReport,
    "eval.v0": EvalReport,
    "explain_event": ExplainEvent,
    "issuer_keyset.v1": IssuerKeysetDocument,
    "k8s_apply.v0": K8sApplyReport,
    "k8s_plan.v0": Plan,
    "k8s_render.v0": K8sRenderReport,
    "k8s_verify.v0": K8sVerifyReport,
    "keyring.v1": KeyringDocument,
    "license.v1": LicenseDocument,
    "license_verify.v0": LicenseVerifyReport,
    "observe.v0": ObserveReport,
    "passport.v0": Passport,
    "passport_validate.v0": PassportValidateReport,
    "policy_bundle.v1": PolicyBundle,
    "preflight.v0": PreflightReport,
    "quickstart.v0": QuickstartReport,
    "rollback_plan.v0": RollbackPlan,
    "trust_state.v1": TrustState,
    "watch.v0": WatchReport,
    "watch_state.v0": WatchState,
}
"""Name of a schema file to the type it is made from."""


def schema_files() -> dict[str, bytes]:
    """File name to file content of every published schema."""
    return {f"{name}.schema.json": document(_schema(name, kind)) for name, kind in SCHEMAS.items()}


def _schema(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    schema = _described(msgspec.json.schema(kind))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:modekeeper:{name}", **schema}


def _described(schema: Any) -> Any:
    """Descriptions come from docstrings, which Python keeps indented before 3.13 and not since."""
    if isinstance(schema, dict):
        return {
            key: cleandoc(value) if key == "description" and isinstance(value, str) else _described(value)
            for key, value in schema.items()
        }
    return [_described(item) for item in schema] if isinstance(schema, list) else schema


def main() -> None:
    """Write the schema files into the package."""
    folder = Path(__file__).parents[1] / "artifacts" / "schemas"
    for name, data in schema_files().items():
        (folder / name).write_bytes(data)
    sys.stdout.write(f"wrote {len(SCHEMAS)} schemas\n")


if __name__ == "__main__":
    main()
