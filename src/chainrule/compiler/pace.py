"""How many threads to use, by trial: cores may be shared with others, or be halves.

Results do not depend on the number of threads, so it may change at any step. On a
machine with cores of its own, every core helps; where another process runs on one of
them, or two of them share their arithmetic units, threads that wait for one another can
be slower than a single one, and no setting tells.
"""

from __future__ import annotations

TRIAL_SECONDS = 0.004  # how long each number of threads is tried, at least
TRIAL_RUNS = 2  # and how often
SETTLED_SECONDS = 1.0  # of running for which the better one is kept at first
MOST_SECONDS = 16.0  # and at last, where trials keep finding the same
SHARE = 0.04  # of the time that trials may lose
GAIN = 0.95  # what fewer threads must cost, at most, to be preferred
SLOWER = 1.4  # a step that takes so much longer than in the trial asks for another
SURPRISES = 3  # where as many follow one another


class Pace:
    """Chooses between all threads and one, for one program.

    Both are tried, and the one whose fastest run was faster is kept for a second; for
    twice as long after each trial that finds the same, and for longer where a trial
    loses much time, as that of long steps does. Only time counts in which the program
    runs: what runs now and then would else try in every run. Steps that become slower
    call for a new trial at once. A first run tells nothing: it fills caches, touches
    memory for the first time and wakes threads. One run on one thread tells enough
    where it takes much longer.

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
        self._ran = 0.0  # seconds so far
        self._until = 0.0  # the next trial is due when so many have passed
        self._keep = SETTLED_SECONDS
        self._fastest = 0.0
        self._surprises = 0
        self._met: set[int] = set()  # numbers of threads that have run at all
        self._begin_trial()

    def _begin_trial(self) -> None:
        self._trial: dict[int, list[tuple[int, float]]] = {self.most: [], 1: []}
        self._woken: set[int] = set()

    def _pending(self) -> int | None:
        """The number of threads that is to be tried now."""
        for threads, runs in self._trial.items():
            if self._is_beaten(threads):
                continue
            spent = sum(seconds for _, seconds in runs)
            if spent < TRIAL_SECONDS or len(runs) < TRIAL_RUNS:
                return threads
        return None

    def _is_beaten(self, threads: int) -> bool:
        """Whether a number of threads has been so slow that no more runs are needed."""
        if threads == self.most or not self._trial[threads]:
            return False
        return self._fastest_of(threads) > SLOWER * self._fastest_of(self.most)

    def _fastest_of(self, threads: int) -> float:
        """Seconds of a step in the fastest run of the trial."""
        return min(seconds / steps for steps, seconds in self._trial[threads])

    def next(self, steps: int) -> tuple[int, int]:
        """How many of the next `steps` steps to take, and on how many threads."""
        if self._fixed:
            return steps, self.most
        if self._pending() is None and self._ran > self._until:
            self._begin_trial()
        threads = self._pending()
        if threads is None:
            return steps, self.best
        if threads not in self._woken or not self.step_seconds:
            return 1, threads
        wanted = int(TRIAL_SECONDS / TRIAL_RUNS / max(self.step_seconds, 1e-7)) + 1
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
        trial = self._pending() is not None or self._ran > self._until
        return None if trial else self.best

    def learn(self, steps: int, threads: int, seconds: float) -> None:
        """Take note that `steps` steps on `threads` threads took so long."""
        self.step_seconds = seconds / steps
        if self._fixed:
            return
        self._ran += seconds
        pending = self._pending()
        if pending is None:
            self._watch(threads, seconds / steps)
        elif pending == threads:
            self._try(steps, threads, seconds)

    def _try(self, steps: int, threads: int, seconds: float) -> None:
        """Count a run of a trial, and end the trial where it was the last."""
        new = threads not in self._met
        if new or (threads not in self._woken and seconds < TRIAL_SECONDS):
            self._met.add(threads)
            self._woken.add(threads)
            return
        self._woken.add(threads)
        self._trial[threads].append((steps, seconds))
        if self._pending() is None:
            self._settle()

    def _settle(self) -> None:
        """Choose, by the fastest runs of the trial."""
        many, one = map(self._fastest_of, (self.most, 1))
        best = 1 if one < GAIN * many else self.most
        self._keep = min(2 * self._keep, MOST_SECONDS)
        if best != self.best or not self._fastest:
            self._keep = SETTLED_SECONDS
        self.best, self._fastest = best, min(one, many)
        self._surprises = 0
        lost = sum(
            seconds - steps * self._fastest
            for runs in self._trial.values()
            for steps, seconds in runs
        )
        keep = max(self._keep, lost / SHARE)
        self._until = self._ran + keep

    def _watch(self, threads: int, seconds: float) -> None:
        """Call for a trial where steps have become slower than the trial found."""
        if threads != self.best:
            return
        slower = seconds > SLOWER * self._fastest
        self._surprises = self._surprises + 1 if slower else 0
        if self._surprises == SURPRISES:
            self._keep, self._until = SETTLED_SECONDS / 2, 0.0
