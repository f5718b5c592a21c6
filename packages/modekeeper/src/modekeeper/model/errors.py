"""Errors a user may meet. Each message is one line: what happened, to what, and what to do about it."""

__all__ = ["BadInputError", "FailedError", "ModeKeeperError", "RefusedError"]


class ModeKeeperError(Exception):
    """Base of every error that reaches a user as one line ``ERROR: …``.

    ``exit_code`` is what the process returns: 1 tried and failed, 2 refused, blocked or bad input.
    """

    exit_code = 1


class FailedError(ModeKeeperError):
    """Something was tried and did not work (a disk is full, a stream broke)."""

    exit_code = 1


class BadInputError(ModeKeeperError):
    """What the user gave cannot be used."""

    exit_code = 2


class RefusedError(ModeKeeperError):
    """A gate stopped the request; an artifact says why."""

    exit_code = 2
