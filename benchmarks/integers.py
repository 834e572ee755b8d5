"""Times a generation of the integer language model with products of each type of number.

    python -m benchmarks.integers [--width 64] [--layers 2] [--population 512] [--generations 8]

`rl_es.rollout.egg.product_dtype` was chosen by this. Prints thousands of tokens that are read in a
second of one core's time, the median over generations that alternate between the types. All types
give the same returns, which is checked.
"""

import argparse
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.agents import egg as agent
from rl_es.config import split_traced
from rl_es.envs import text
from rl_es.interfaces import ProblemSpec
from rl_es.rollout import egg
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from rl_es.training.compilation import scalar_leaves
from rl_es.training.learner import Evolution

TYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "int8": jnp.int8}
WINDOW = 100


def _compile(dtype: Any, widths: tuple[int, ...], population: int) -> tuple[Any, Any]:
    """Returns a compiled generation, state -> (state, metrics), and the first state."""
    env = text.make("text/python_docs", text.Options(streams=16, loss="tables"))
    policy = make_policy(PolicyConfig(network="egg", widths=widths, head="deterministic"), env.spec)
    config = agent.Hyperparameters(population=population, window=WINDOW)
    strategy = agent.make(config, ProblemSpec(policy.parameters, env.spec.episode_length))
    learner = Evolution(strategy, env, policy)
    egg.product_dtype = lambda: dtype
    state = jax.jit(learner.init)(jax.random.key(0), scalar_leaves(split_traced(config)[1]))
    return jax.jit(lambda state: learner.generation(state)[0::2]).lower(state).compile(), state


def main() -> None:
    """Prints a row a type."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--population", type=int, default=512)
    parser.add_argument("--generations", type=int, default=8)
    arguments = parser.parse_args()
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    widths = (arguments.width,) * arguments.layers
    programs, states, seconds, returns = {}, {}, {}, {}
    for name, dtype in TYPES.items():
        programs[name], states[name] = _compile(dtype, widths, arguments.population)
        seconds[name], returns[name] = [], []
    for _ in range(arguments.generations):
        for name, program in programs.items():
            start = time.process_time()
            states[name], metrics = jax.block_until_ready(program(states[name]))
            seconds[name].append(time.process_time() - start)
            returns[name].append(float(metrics.population_mean))
    tokens = WINDOW * arguments.population
    for name in TYPES:
        if returns[name] != returns["float32"]:
            raise SystemExit(f"{name}: returns differ from those of float32")
        print(f"{name:9} {tokens / np.median(seconds[name]) / 1000:6.0f} k tokens/s")


if __name__ == "__main__":
    main()
