"""Only what the passport of the workload allows, under the passport the plan was made under."""

from modekeeper.gates.base import block, let_pass
from modekeeper.gates.case import GateCase
from modekeeper.model.decision import BlockReason, PassportRef, Verdict
from modekeeper.passports.allowed import why_denied
from modekeeper.passports.passport import Passport, passport_ref
from modekeeper.passports.templates import default_passport
from modekeeper.policy.wording import shown

__all__ = ["PassportDenied", "why_not_made_under"]


class PassportDenied:
    """Stops a workload, a chord or a way to change it that the passport does not allow.

    How far a change may go, who has to approve it and how often it may be made are the matter of the gates for that,
    which look at the passport too.
    """

    name = "passport"
    reason = BlockReason.PASSPORT_DENIED

    def check(self, case: GateCase) -> Verdict:
        """See :class:`modekeeper.gates.base.Gate`."""
        passport = case.passport
        if passport is None:
            return block(self, "which passport is in force is not known")
        actions = case.proposal.actions
        if not actions:
            return let_pass(self, "nothing is asked for")
        way = case.item_actuation
        why = why_denied(
            passport,
            target=case.target,
            chord_ids=(case.proposal.chord_id,),
            actuations={action.actuation for action in actions} if way is None else {way},
        )
        return let_pass(self, f"under passport {shown(passport.name)!r}") if why is None else block(self, why)


def why_not_made_under(made_under: PassportRef | None, passport: Passport) -> str | None:
    """Why a plan may not be applied under ``passport``; ``None`` where it was made under it.

    Only the same passport will do, to the digest: a laxer one would let through what the plan's own stops, and which
    of two is the laxer one is no question to answer at a door.

    Args:
        made_under: as the plan says; ``None`` stands for the built-in ``safe``.
        passport: the one in force.
    """
    wanted = made_under if made_under is not None else passport_ref(default_passport())
    given = passport_ref(passport)
    if wanted == given:
        return None
    which = f"passport {shown(wanted.name)!r}"
    if wanted.name == given.name:
        return f"the plan was made under another {which} ({shown(wanted.digest, 80)}): plan again"
    return (
        f"the plan was made under {which}, and {shown(given.name)!r} is in force: name that one with --passport, or "
        f"plan again"
    )
