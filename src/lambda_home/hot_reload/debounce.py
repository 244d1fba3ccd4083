"""When changes are through: an editor writes a file in several steps, a build many files; pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Debounce:
    """Gathers changes until nothing has come for `quiet_s`, but never longer than `longest_s`.

    Times are seconds on any one monotonic clock.
    """

    quiet_s: float
    longest_s: float
    names: set[str] = field(default_factory=set)
    first_at: float | None = None
    last_at: float = 0.0

    def note(self, names: set[str], now: float) -> None:
        """Something has changed; `names` may be empty where nobody knows what."""
        if self.first_at is None:
            self.first_at = now
        self.last_at = now
        self.names |= names

    @property
    def due_at(self) -> float | None:
        """When the changes are to be taken; None without any."""
        if self.first_at is None:
            return None
        return min(self.last_at + self.quiet_s, self.first_at + self.longest_s)

    def take(self) -> tuple[set[str], float]:
        """What has changed, and when the first of it did; gathers anew."""
        names, first_at = self.names, self.first_at
        self.names, self.first_at = set(), None
        return names, self.last_at if first_at is None else first_at
