"""Detectors: blocks of samples in, signals out. Pure arithmetic, no I/O, memory bounded by the windows."""
