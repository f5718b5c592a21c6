"""The table of commands: what there is, under which heading, and where its code lives.

Kept apart from the code so that ``mk --help`` and completion need to import none of it.
"""

from typing import NamedTuple

__all__ = ["COMMANDS", "GROUPS", "HEADINGS", "Command", "overview"]


class Command(NamedTuple):
    """One command of ``mk``."""

    words: tuple[str, ...]
    """What is typed after ``mk``."""
    heading: str
    summary: str
    code: str
    """``module:attribute`` of the click command."""


HEADINGS = {
    "Look": "what is the job doing",
    "Decide": "what would help, as a plan a person can review",
    "Check": "is everything ready, and what would a plan do",
    "Change": "with the licensed package, through its one door",
    "Show": "see it work",
}

_AT = "modekeeper.cli"

COMMANDS: tuple[Command, ...] = (
    Command(
        ("quickstart",),
        "Look",
        "the whole main job in one go, on your telemetry or a real trace",
        f"{_AT}.quickstart:quickstart",
    ),
    Command(("observe",), "Look", "read telemetry, say what is in it", f"{_AT}.observe:observe"),
    Command(("eval", "file"), "Look", "verdict, why and cost of a recorded run", f"{_AT}.evaluate:eval_file"),
    Command(("eval", "k8s"), "Look", "the same of a running job, from its pods", f"{_AT}.evaluate:eval_k8s"),
    Command(("plot",), "Look", "draw a recorded run: changes, modes and actions", f"{_AT}.plot:plot"),
    Command(("plan",), "Decide", "decide and write the plan, changing nothing", f"{_AT}.closed_loop:plan"),
    Command(("watch",), "Decide", "keep deciding, an interval at a time", f"{_AT}.watch:watch"),
    Command(
        ("closed-loop", "run"),
        "Decide",
        "the same as plan; --apply needs the licensed package",
        f"{_AT}.closed_loop:run",
    ),
    Command(
        ("closed-loop", "watch"),
        "Decide",
        "the same as watch; --apply needs the licensed package",
        f"{_AT}.watch:closed_loop_watch",
    ),
    Command(("chords", "list"), "Decide", "the changes ModeKeeper knows how to propose", f"{_AT}.chords:list_chords"),
    Command(
        ("chords", "show"), "Decide", "one chord: when, what it touches, what must stay true", f"{_AT}.chords:show"
    ),
    Command(("chords", "validate"), "Decide", "check a chord catalog of your own", f"{_AT}.chords_validate:validate"),
    Command(
        ("passport", "templates"),
        "Decide",
        "the passports that come with ModeKeeper: what each allows",
        f"{_AT}.passport:templates",
    ),
    Command(("passport", "show"), "Decide", "one passport: what it allows, and who says yes", f"{_AT}.passport:show"),
    Command(("passport", "validate"), "Decide", "check a passport of your own", f"{_AT}.passport_validate:validate"),
    Command(
        ("k8s", "preflight"),
        "Check",
        "is this cluster ready to be observed, and with which rights",
        f"{_AT}.k8s_preflight:preflight",
    ),
    Command(("doctor",), "Check", "is everything here that ModeKeeper needs", f"{_AT}.doctor:doctor"),
    Command(
        ("verify",),
        "Check",
        "would the cluster accept a plan, and what would it do",
        f"{_AT}.k8s_verify:verify",
    ),
    Command(("k8s", "verify"), "Check", "the same as verify", f"{_AT}.k8s_verify:k8s_verify"),
    Command(("k8s", "render"), "Check", "check a plan and write its script", f"{_AT}.k8s_render:render"),
    Command(("license", "verify"), "Check", "is a licence good here, now, for this", f"{_AT}.license_verify:verify"),
    Command(
        ("k8s", "apply"),
        "Change",
        "apply a verified plan; needs the licensed package",
        f"{_AT}.k8s_apply:apply",
    ),
    Command(
        ("k8s", "rollback"),
        "Change",
        "take an applied plan back; needs the licensed package",
        f"{_AT}.k8s_rollback:rollback",
    ),
    Command(
        ("demo", "modes"),
        "Show",
        "an incident from healthy to healthy, every mode in between",
        f"{_AT}.demo:modes",
    ),
    Command(("completion",), "Show", "print the completion script of your shell", f"{_AT}.completion:completion"),
)

GROUPS = {
    "eval": "Verdict, why and cost of a run.",
    "closed-loop": "The loop: observe, decide, plan; with a licence, apply.",
    "chords": "The changes ModeKeeper knows how to propose.",
    "passport": "What is allowed for a workload.",
    "k8s": "Ask a cluster what it is, and about a plan; apply and rollback need the licensed package.",
    "license": "What a licence says, and whether it is good here.",
    "demo": "See it work without a cluster.",
}


def overview() -> str:
    """What ``mk --help`` prints."""
    lines = [
        "Usage: mk COMMAND [OPTIONS]",
        "",
        "ModeKeeper watches a training job, says which mode it is in and why, and plans a safe change.",
        "It reads and plans; only the licensed package changes a cluster.",
    ]
    width = max(len(" ".join(command.words)) for command in COMMANDS) + 2
    for heading, meaning in HEADINGS.items():
        lines += ["", f"{heading}: {meaning}"]
        lines += [
            f"  {' '.join(command.words):<{width}}{command.summary}"
            for command in COMMANDS
            if command.heading == heading
        ]
    lines += [
        "",
        "Options: --version, --help. Every command has --help with examples.",
        "",
        "Examples:",
        "  mk quickstart --out report/quickstart",
        "  mk eval file --path run.jsonl",
        "",
    ]
    return "\n".join(lines)
