"""ModeKeeper: which mode a training job is in, why, and what change would help."""

__all__ = ["__version__"]

__version__ = "0.1.0"
