"""The loop: one short tick, and what runs it over a stream."""
