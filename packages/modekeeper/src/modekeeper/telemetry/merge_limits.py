"""How long the ranks of a job wait for each other."""

from dataclasses import dataclass

__all__ = ["MergeLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeLimits:
    """How long a step waits for a rank, and with it how much is held."""

    window_steps: int = 64
    """So many steps may always wait, however many ranks there are: with a thousand that is some 50 MB."""
    window_records: int = 65_536
    """With fewer ranks more steps may wait, up to about so many records of them all."""
    window_s: float = 120.0
    """A step goes without the ranks that are missing when so much later records have arrived, by the node's clock:
    ranks whose output is buffered write many steps at once, a minute apart."""
    discovery_steps: int = 4
    """Nothing is given before so many steps have begun: until then nobody knows which ranks there are."""
