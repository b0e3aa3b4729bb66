"""How many threads to use, by trial: cores may be shared with others, or be halves.

Results do not depend on the number of threads, so it may change at any step. On a
machine with cores of its own, every core helps; where another process runs on one of
them, or two of them share their arithmetic units, threads that wait for one another can
be slower than a single one, and no setting tells.
"""

from __future__ import annotations

import time

TRIAL_SECONDS = 0.004  # how long each number of threads is tried
SETTLED_SECONDS = 1.0  # how long the better one is kept
GAIN = 0.95  # what fewer threads must cost, at most, to be preferred


class Pace:
    """Chooses between all threads and one, for one program.

    Args:
        most: the number of threads to choose at most.
        fixed: always use `most`.

    Attributes:
        step_seconds: how long a step took when the program last ran; None before.

    Example:
        >>> pace = Pace(1)
        >>> pace.next(100)
        (100, 1)
    """

    def __init__(self, most: int, fixed: bool = False) -> None:
        self.most = most
        self.best = most
        self.step_seconds: float | None = None
        self._fixed = fixed or most == 1
        self._until = 0.0
        self._begin_trial()

    def _begin_trial(self) -> None:
        self._spent = {self.most: 0.0, 1: 0.0}
        self._steps = {self.most: 0, 1: 0}
        self._first: dict[int, float] = {}

    def _pending(self) -> int | None:
        """The number of threads that is to be tried now."""
        for threads, spent in self._spent.items():
            if spent < TRIAL_SECONDS:
                return threads
        return None

    def next(self, steps: int) -> tuple[int, int]:
        """How many of the next `steps` steps to take, and on how many threads."""
        if self._fixed:
            return steps, self.most
        if self._pending() is None and time.perf_counter() > self._until:
            self._begin_trial()
        threads = self._pending()
        if threads is None:
            return steps, self.best
        if threads not in self._first:
            return 1, threads
        missing = TRIAL_SECONDS - self._spent[threads]
        wanted = int(missing / max(self._first[threads], 1e-7)) + 1
        return min(steps, wanted), threads

    @property
    def settled(self) -> int | None:
        """The number of threads, where no trial is due.

        Example:
            >>> Pace(1).settled, Pace(2).settled
            (1, None)
        """
        if self._fixed:
            return self.most
        trial = self._pending() is not None or time.perf_counter() > self._until
        return None if trial else self.best

    def learn(self, steps: int, threads: int, seconds: float) -> None:
        """Take note that `steps` steps on `threads` threads took so long."""
        self.step_seconds = seconds / steps
        if self._fixed or self._pending() != threads:
            return
        if threads not in self._first:
            self._first[threads] = seconds / steps
            if seconds < TRIAL_SECONDS:
                return  # it woke workers and filled caches: it does not count
        self._spent[threads] += seconds
        self._steps[threads] += steps
        if self._pending() is None:
            many, one = (self._spent[n] / self._steps[n] for n in (self.most, 1))
            self.best = 1 if one < GAIN * many else self.most
            self._until = time.perf_counter() + SETTLED_SECONDS
