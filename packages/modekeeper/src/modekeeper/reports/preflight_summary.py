"""``preflight_summary.md``: a preflight for a person, with the roles to ask for ready to be pasted."""

from modekeeper.artifacts.contracts.preflight import PreflightAccess, PreflightCheck, PreflightReport
from modekeeper.reports.escaping import escaped

__all__ = ["preflight_summary"]

_WORD = {"pass": "ok", "note": "note", "fail": "BLOCKED", "unknown": "unknown"}


def preflight_summary(report: PreflightReport) -> str:
    """The whole file."""
    target = report.target
    blocks = [
        "# Preflight",
        f"**{'Ready' if report.ok else 'Not ready'}** for {escaped(f'{target.kind} {target.namespace}/{target.name}')}",
        _facts(report),
        "## Checks\n\n" + "\n".join(map(_check, report.checks)),
        "## Rights\n\n" + "\n".join(map(_access, report.access)),
        *_roles(report),
        "## Artifacts\n\n" + _artifacts(report),
    ]
    return "\n\n".join(blocks) + "\n"


def _facts(report: PreflightReport) -> str:
    context = report.context
    facts: dict[str, object] = {
        "ok": report.ok,
        "top_blocker": report.top_blocker,
        "context": context.name if context else None,
        "server": context.server if context else None,
        "server_version": report.server_version,
        "namespace": report.target.namespace,
        "deployment": report.target.name,
        "container": report.container,
        "gpu_capacity_present": report.gpu_capacity_present,
        "gpu_allocatable": report.gpu_allocatable,
        "nvidia_device_plugin_present": report.nvidia_device_plugin_present,
        "deploy_gpu_request": report.deploy_gpu_request,
        "notes": len(report.notes),
    }
    return "\n".join(f"- {name}: {_written(value)}" for name, value in facts.items())


def _artifacts(report: PreflightReport) -> str:
    return f"- preflight_path: {escaped(report.preflight_path)}\n- explain_path: {escaped(report.explain_path)}"


def _check(check: PreflightCheck) -> str:
    hint = f"; {escaped(check.hint)}" if check.hint else ""
    return f"- **{_WORD[check.status]}** {check.name}: {escaped(check.detail)}{hint}"


def _access(access: PreflightAccess) -> str:
    granted = {True: "granted", False: "**denied**", None: "unknown"}[access.allowed]
    group = f".{access.api_group}" if access.api_group else ""
    name = f" {access.name}" if access.name else ""
    what = escaped(f"{access.verb} {access.resource}{group}{name} in namespace {access.namespace}")
    return f"- {granted}: {what} (mk {'observe' if access.command == 'observe' else 'k8s verify'})"


def _roles(report: PreflightReport) -> list[str]:
    """What to hand to an administrator. Every text in it is quoted by who wrote it: no line of it can end the block."""
    wanted = [(check.name, check.role_yaml) for check in report.checks if check.role_yaml]
    if not wanted:
        return []
    head = "## Roles to ask for\n\nEach is what one check lacks, for an administrator's `kubectl apply`."
    return [head, *(f"For {name}:\n\n```yaml\n{text.rstrip()}\n```" for name, text in wanted)]


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return escaped(str(value))
