"""Telemetry from the logs of a workload's pods: all ranks at once, without losing or doubling a line."""

__all__: list[str] = []
