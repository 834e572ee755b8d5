"""A short training, twice from one key: it runs, and gives the same both times."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rl_es.findings import Fault

ENVIRONMENT, AGENT = "CartPole-v1", "eggroll"
SETTINGS = {"population": 256, "lr": 0.05}
WIDTH = 16  # of the only hidden layer
EPISODE = 100  # steps at most
GENERATIONS = 5  # that are compared
SECONDS = 2.0  # of training that is timed
MOST_STEPS = 10**9
REPORT = "run `make test`, and report what fails"

Params = list[np.ndarray]
Outcome = tuple[Params, Params, float]  # of both trainings; environment steps a second


def trained() -> Outcome:
    """Trains a small network twice from key 0, and then for as long as measuring its speed takes.

    Without the cache of programs, so that compiling them is tried as well.
    """
    import jax

    from rl_es import registry
    from rl_es.config import split
    from rl_es.interfaces import Limit
    from rl_es.rollout.config import PolicyConfig, WrapperConfig
    from rl_es.training.program import Compiler
    from rl_es.training.task import Task, make_training

    task = Task(
        ENVIRONMENT, {}, WrapperConfig(episode_length=EPISODE), PolicyConfig(widths=(WIDTH,))
    )
    config = registry.agents.load(AGENT).Hyperparameters(**SETTINGS)
    made = make_training(task, AGENT, config, 1)
    _, traced = split(config)
    program = Compiler().compile(made.learner, traced, 1, made.evaluate, None)
    hyper = {name: np.full(1, value, np.float32) for name, value in traced.items()}
    limit = Limit(np.full(1, GENERATIONS, np.int32), np.full(1, MOST_STEPS, np.int32))

    def run() -> tuple[Any, Params]:
        state, _ = program.advance(program.init(np.zeros(1, np.uint32), hyper), limit)
        return state, [np.array(leaf) for leaf in jax.tree.leaves(program.snapshot(state).params)]

    (_, first), (state, second) = run(), run()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        state, rows = program.advance(state, limit)
        steps += int(np.asarray(rows.env_steps).sum())
    return first, second, steps / (time.perf_counter() - began)


def training(train: Callable[[], Outcome] = trained) -> str:
    """Training gives finite parameters, and the same ones again."""
    first, second, rate = train()
    told = f"{AGENT} on {ENVIRONMENT}"
    if not all(np.isfinite(leaf).all() for leaf in first):
        raise Fault(f"{told}: parameters are not finite", REPORT)
    if not all(map(np.array_equal, first, second)):
        raise Fault(f"{told}: the same key gave other parameters", REPORT)
    return f"{told}: {rate:,.0f} environment steps a second"
