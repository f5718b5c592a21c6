"""``k8s_render_latest.json``: a plan as a script."""

from typing import Literal

import msgspec

from modekeeper.artifacts.contracts.reports import Report

__all__ = ["K8sRenderReport", "RenderedItem"]


class RenderedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the plan."""

    index: int
    namespace: str
    kind: str
    name: str
    actuation: str
    knobs: dict[str, str]


class K8sRenderReport(Report, frozen=True, kw_only=True):
    """``k8s_render_latest.json``. ``ok`` is false, and ``error`` says why, where it is no plan."""

    schema_version: Literal["v0"] = "v0"
    ok: bool
    error: str | None
    plan_path: str
    plan_digest: str | None
    plan_items: int
    items: tuple[RenderedItem, ...]
    k8s_plan_script_path: str | None
    script_sha256: str | None
    explain_path: str
