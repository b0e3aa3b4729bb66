import numpy as np

from chainrule.compiler.native_loop import NativeLoop
from chainrule.compiler.pace import (
    MOST_SECONDS,
    SETTLED_SECONDS,
    SURPRISES,
    TRIAL_RUNS,
    TRIAL_SECONDS,
    Pace,
)
from chainrule.ir import Spec, trace
from chainrule.ir.dtype import float32, int64
from chainrule.ops import add, multiply, reduce_sum, take


def run(pace, cost, steps):
    """Take `steps` steps at these costs; how many each number of threads took."""
    taken = {1: 0, pace.most: 0}
    while steps:
        count, threads = pace.next(steps)
        assert 1 <= count <= steps
        pace.learn(count, threads, count * cost[threads])
        taken[threads] += count
        steps -= count
    return taken


def test_threads_that_help_are_used():
    pace = Pace(4)
    taken = run(pace, {4: 1e-4, 1: 3e-4}, 10_000)
    assert pace.best == 4
    assert taken[1] < 50


def test_threads_that_hinder_are_left_alone():
    pace = Pace(2)
    taken = run(pace, {2: 5e-4, 1: 2e-4}, 10_000)
    assert pace.best == 1
    assert taken[2] < 50


def test_a_trial_takes_little_of_long_steps():
    pace = Pace(2)
    taken = run(pace, {2: 10 * TRIAL_SECONDS, 1: 13 * TRIAL_SECONDS}, 20)
    assert pace.best == 2
    assert taken[1] == 1 + TRIAL_RUNS


def test_one_run_that_takes_much_longer_is_enough():
    pace = Pace(2)
    taken = run(pace, {2: 10 * TRIAL_SECONDS, 1: 30 * TRIAL_SECONDS}, 20)
    assert pace.best == 2
    assert taken[1] == 1 + 1


def test_time_between_runs_calls_for_no_trial(monkeypatch):
    trials = steps_on_one(monkeypatch, {2: 0.05, 1: 0.09}, SETTLED_SECONDS)
    rarely = steps_on_one(monkeypatch, {2: 0.05, 1: 0.09}, SETTLED_SECONDS, 60.0)
    assert len(rarely) == len(trials)


def test_a_slow_first_run_decides_nothing():
    pace = Pace(2)
    pace.learn(*pace.next(1), 100 * TRIAL_SECONDS)  # memory is touched first
    run(pace, {2: 5 * TRIAL_SECONDS, 1: 9 * TRIAL_SECONDS}, 20)
    assert pace.best == 2


def test_steps_that_become_slower_call_for_a_trial():
    pace = Pace(2)
    run(pace, {2: 5 * TRIAL_SECONDS, 1: 9 * TRIAL_SECONDS}, 10)
    assert pace.settled == 2
    for _ in range(SURPRISES):
        assert run(pace, {2: 20 * TRIAL_SECONDS, 1: 9 * TRIAL_SECONDS}, 1)[2] == 1
    assert pace.settled is None
    run(pace, {2: 20 * TRIAL_SECONDS, 1: 9 * TRIAL_SECONDS}, 10)
    assert pace.best == 1


def steps_on_one(monkeypatch, cost, seconds, pause=0.0):
    """At which second of running single threads are tried; a pause follows each step.

    No clock moves on but by that.
    """
    now, ran, pace, trials = 0.0, 0.0, Pace(2), []
    monkeypatch.setattr("time.perf_counter", lambda: now)
    while ran < seconds:
        count, threads = pace.next(1)
        if threads == 1:
            trials.append(ran)
        ran += cost[threads]
        now += cost[threads] + pause
        pace.learn(count, threads, cost[threads])
    return trials


def test_trials_that_agree_become_rare(monkeypatch):
    trials = steps_on_one(monkeypatch, {2: 0.05, 1: 0.09}, 60.0)
    assert max(np.diff(trials)) > MOST_SECONDS / 2
    assert len(trials) < 20


def test_trials_of_long_steps_lose_little_time(monkeypatch):
    cost = {2: 0.2, 1: 0.36}
    trials = steps_on_one(monkeypatch, cost, 30.0)
    assert len(trials) * (cost[1] - cost[2]) < 0.07 * 30.0


def test_a_number_that_was_asked_for_is_kept():
    pace = Pace(3, fixed=True)
    assert run(pace, {3: 1.0, 1: 1e-6}, 100) == {1: 0, 3: 100}


def test_changing_threads_within_a_run_changes_no_bit_and_skips_no_row():
    def whole(state, data, rows):
        batch = take(data, rows, axis=0)
        return [add(state, reduce_sum(batch, axes=(0,))), multiply(batch, 2.0)]

    specs = [Spec((30_000,), float32), Spec((64, 30_000), float32), Spec((2,), int64)]
    graph, _ = trace(whole, specs)
    data = np.random.default_rng(0).normal(size=(64, 30_000)).astype(np.float32)
    order = np.random.default_rng(1).permutation(64)
    results = []
    for turns in ([64 // 2], [1] * 32, [3, 5, 24]):
        loop = NativeLoop()
        loop.begin([np.zeros(30_000, np.float32)], [data])
        pace = loop.program(graph).pace
        outputs, done = [], 0
        for number, turn in enumerate(turns):
            pace.best, pace._until = 1 + number % 2, np.inf
            rows = order[done : done + 2 * turn]
            outputs.append(loop.run(graph, rows, 2, [])[0])
            done += 2 * turn
        results.append((loop.state()[0], np.concatenate(outputs)))
        np.testing.assert_array_equal(results[-1][1], 2 * data[order])
    for state, _ in results[1:]:
        np.testing.assert_array_equal(state, results[0][0])
