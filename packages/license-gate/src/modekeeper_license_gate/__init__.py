"""The vendor's side of licences. It stands on ``modekeeper.trust`` and is never shipped to customers."""

__version__ = "0.1.0"
