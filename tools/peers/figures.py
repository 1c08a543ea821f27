"""Statistics of measured times, and the comparison of fleetlog with the best peer. Pure."""
import math
from dataclasses import dataclass

# How long every engine is asked a question before it is timed: threads, caches and allocators settle.
WARM_UP_SECONDS = 0.2
# No question is asked more often than this before it is timed.
WARM_UP_MOST = 1_000


def median(values):
    """The middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@dataclass(frozen=True)
class Comparison:
    """fleetlog's seconds beside those of the fastest peer."""

    ours: float
    best: float
    best_name: str
    at_least: float

    @property
    def ratio(self):
        """How many times faster than the best peer."""
        return self.best / self.ours if self.ours > 0 else math.inf

    @property
    def holds(self):
        """Whether the ratio is reached."""
        return self.ratio >= self.at_least


def compare(ours, peers, at_least):
    """`peers` maps names to seconds; the fastest of them is the one to beat."""
    name = min(peers, key=peers.get)
    return Comparison(ours, peers[name], name, at_least)
