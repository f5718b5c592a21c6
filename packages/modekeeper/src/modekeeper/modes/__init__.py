"""The state machine of a workload: states and edges as a table, one pure step."""
