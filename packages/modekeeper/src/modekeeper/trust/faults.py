"""What is wrong with a document of trust, or with the file it is in: a code for scripts and a line for a person."""

from modekeeper.model.errors import BadInputError

__all__ = [
    "ApprovalDocumentError",
    "ApprovalFileError",
    "IssuerKeysetError",
    "KeyringError",
    "LicenseDocumentError",
    "LicenseFileError",
    "TrustError",
    "TrustStateError",
]


class TrustError(BadInputError):
    """Something that was to be trusted cannot be.

    Attributes:
        code: for scripts, one word; listed in docs/LICENSING.md.
        detail: for a person, one line; text from outside in it is escaped.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class LicenseFileError(TrustError):
    """The file of a licence cannot be read, or is not one to be read."""


class LicenseDocumentError(TrustError):
    """The bytes are no licence."""


class ApprovalFileError(TrustError):
    """The file of an approval cannot be read, or is not one to be read."""


class ApprovalDocumentError(TrustError):
    """The bytes are no approval."""


class KeyringError(TrustError):
    """A keyring, or the file it is in, cannot be used."""


class IssuerKeysetError(TrustError):
    """An issuer keyset is not signed by the root, is out of date, or is none."""


class TrustStateError(TrustError):
    """The record of what was seen before cannot be read."""
