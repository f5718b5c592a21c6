"""What the findings cost, estimated with its method and its assumptions."""
