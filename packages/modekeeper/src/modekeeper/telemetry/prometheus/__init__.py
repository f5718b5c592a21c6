"""Telemetry from a Prometheus server: range queries of its HTTP API to samples."""

__all__: list[str] = []
