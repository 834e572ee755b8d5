"""A learner compiled: lanes, limits, states that can be saved, evaluation on keys of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from rl_es.evolution.fitness_shaping import STATELESS_SHAPINGS
from rl_es.evolution.noise_memory import DenseAccumulator
from rl_es.evolution.optimiser import sgd
from rl_es.evolution.perturbation import FullRank
from rl_es.evolution.strategy import EvolutionStrategy
from rl_es.interfaces import EnvSpec, Episode, Limit, Observation, Persistent, Transition
from rl_es.rollout.evaluation import make_evaluator
from rl_es.training import checkpoint
from rl_es.training.compilation import (
    keys_to_data,
    lane_axis,
    prepare_jax,
    scalar_leaves,
    suppress_loader_messages,
)
from rl_es.training.learner import Evolution
from rl_es.training.program import Compiler, Program
from tests.toys import Drift, ParameterPolicy

SETTINGS = dict(lr=0.1, lr_decay=1.0, sigma=0.3, sigma_decay=1.0, momentum=0.0, weight_decay=0.0)
POLICY = ParameterPolicy()
MANY = 2**30


@dataclass(frozen=True)
class Keyed:
    """A `Drift` that is pushed at random by a key that its state holds."""

    inner: Drift

    @property
    def spec(self) -> EnvSpec:
        return self.inner.spec

    def reset(self, key: Array) -> tuple[Any, Observation]:
        state, observation = self.inner.reset(key)
        return (state, key), observation

    def step(self, key: Array, state: Any, action: Array) -> Transition:
        inner, key_of_state = state
        key_of_state, push_key = jax.random.split(key_of_state)
        after = self.inner.step(key, inner, action + 0.1 * jax.random.normal(push_key, (1,)))
        return after._replace(state=(after.state, key_of_state))


def make_learner(segment: Any, lanes: int = 1) -> Evolution:
    agent = EvolutionStrategy(
        population=8,
        perturbation=FullRank(POLICY.parameters),
        segment=segment,
        shaping=STATELESS_SHAPINGS["raw"],
        optimiser=sgd,
        pair_memory=DenseAccumulator(),
    )
    env, axis = Keyed(Drift(horizon=4, edge=2.0)), lane_axis(lanes)
    return Evolution(agent, env, POLICY, normalise_observations=True, lane_axis=axis)


def program(segment: Any, lanes: int, compiler: Compiler | None = None) -> Program:
    learner = make_learner(segment, lanes)
    evaluate = make_evaluator(learner.env, POLICY, 3, learner.lane_axis)
    return (compiler or Compiler()).compile(learner, SETTINGS, lanes, evaluate, "keyed")


SEGMENTS = {"episode": Episode(), "persistent": Persistent(2)}


@pytest.fixture(scope="module", params=SEGMENTS)
def programs(request: pytest.FixtureRequest) -> tuple[Program, Program]:
    """One lane, and three."""
    return program(SEGMENTS[request.param], 1), program(SEGMENTS[request.param], 3)


def start_runs(program: Program, seeds: list[int], lr: list[float]) -> Any:
    hyper = {name: np.full(len(seeds), value, np.float32) for name, value in SETTINGS.items()}
    return program.init(np.asarray(seeds, np.uint32), {**hyper, "lr": np.asarray(lr, np.float32)})


def limit(generations: list[int], steps: list[int] | None = None) -> Limit:
    steps = steps or [MANY] * len(generations)
    return Limit(np.asarray(generations, np.int32), np.asarray(steps, np.int32))


def equal(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def close(first: Any, second: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), first, second)


def test_a_run_starts_from_the_state_of_its_learner(programs: tuple[Program, Program]) -> None:
    """Though its initial parameters are drawn by a program that learners share."""
    learner = make_learner(Persistent(2))
    hyper = scalar_leaves({**SETTINGS, "lr": 0.1})

    def start(seed: Array) -> Any:
        return keys_to_data(learner.init(jax.random.key(seed), hyper))

    assert programs[0].compilations == programs[1].compilations == 4
    program_with_particles = program(Persistent(2), 1)
    for seed in (5, 6):
        state = start_runs(program_with_particles, [seed], [0.1])
        equal(
            _lane(state, 0), jax.tree.map(lambda leaf: leaf[None], jax.jit(start)(np.uint32(seed)))
        )


def test_a_saved_state_goes_on_as_if_it_had_not_been(
    programs: tuple[Program, Program], tmp_path: Path
) -> None:
    single, _ = programs
    uninterrupted, _ = single.advance(start_runs(single, [5], [0.1]), limit([7]))
    half, _ = single.advance(start_runs(single, [5], [0.1]), limit([3]))
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves(half)}
    assert kinds == {"float32", "int32", "uint32", "bool"}  # keys are integers
    checkpoint.save(tmp_path / "state", half, {})
    restored, _ = checkpoint.load(tmp_path / "state", single.state_shape)
    after, rows = single.advance(restored, limit([4]))
    equal(uninterrupted, after)
    assert rows.generations[0] == 4 and uninterrupted.generation[0] == 7
    assert not np.array_equal(uninterrupted.agent.params["theta"], half.agent.params["theta"])


def test_lanes_are_runs_of_their_own(programs: tuple[Program, Program]) -> None:
    """Each stops at its own limit, and one without a limit left does not change."""
    single, multiple = programs
    seeds, rates, generations = [5, 6, 5], [0.1, 0.1, 0.2], [4, 0, 6]
    start = jax.tree.map(np.asarray, start_runs(multiple, seeds, rates))
    state, rows = multiple.advance(start_runs(multiple, seeds, rates), limit(generations))
    assert list(rows.generations) == generations and list(state.generation) == generations
    equal(*(jax.tree.map(lambda leaf: np.asarray(leaf)[1], tree) for tree in (start, state)))
    for i, (seed, rate, count) in enumerate(zip(seeds, rates, generations, strict=True)):
        lane_state, lane_rows = single.advance(start_runs(single, [seed], [rate]), limit([count]))
        close(*(jax.tree.map(np.asarray, (lane_state, lane_rows)), _lane((state, rows), i)))
        assert lane_rows.env_steps[0] == rows.env_steps[i]


def _lane(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[i : i + 1], tree)


def test_limits_in_steps_do_not_hang_on_how_calls_are_cut(
    programs: tuple[Program, Program],
) -> None:
    single, _ = programs
    uninterrupted, rows = single.advance(start_runs(single, [1], [0.1]), limit([MANY], [100]))
    state, left, generations = start_runs(single, [1], [0.1]), 100, 0
    while left > 0:
        state, call_rows = single.advance(state, limit([1], [left]))
        left, generations = left - int(call_rows.env_steps[0]), generations + 1
    equal(uninterrupted, state)
    assert generations == rows.generations[0] > 1
    assert 100 <= rows.env_steps[0] == 100 - left < 100 + 8 * 4


def test_a_seed_has_evaluation_episodes_of_its_own(programs: tuple[Program, Program]) -> None:
    _, multiple = programs
    snapshot = multiple.snapshot(start_runs(multiple, [1, 1, 1], [0.1] * 3))

    def returns(*seeds: int) -> np.ndarray:
        return np.asarray(multiple.evaluate(np.asarray(seeds, np.uint32), snapshot))

    all_returns = returns(1, 3, 2)
    assert all_returns.shape == (3, 3) and len(np.unique(all_returns)) == 9
    np.testing.assert_array_equal(all_returns[0], returns(1, 2, 2)[0])


def test_equal_evaluations_are_compiled_once() -> None:
    compiler = Compiler()
    first, second, wider = (
        program(segment, lanes, compiler)
        for segment, lanes in ((Episode(), 1), (Persistent(2), 1), (Episode(), 3))
    )
    assert [first.compilations, second.compilations, wider.compilations] == [4, 2, 4]
    assert first.evaluate is second.evaluate is not wider.evaluate
    assert first.memory_bytes > 0 and first.compile_seconds > first.trace_seconds > 0


def test_the_first_generation_has_no_row_before_it(programs: tuple[Program, Program]) -> None:
    single, _ = programs
    _, rows = single.advance(start_runs(single, [1], [0.1]), limit([0]))
    assert rows.generations[0] == rows.env_steps[0] == 0
    assert jnp.isnan(rows.population_mean[0]) and jnp.isnan(rows.update_norm[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", "1"),
        ("jax_default_prng_impl", "rbg"),
        ("jax_default_matmul_precision", "bfloat16"),
        ("jax_disable_jit", "1"),
        ("jax_threefry_partitionable", "0"),
    ],
)
def test_settings_of_the_process_that_change_numbers_are_refused(name, value):
    program = "from rl_es.training.compilation import prepare_jax; prepare_jax()"
    process = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, name.upper(): value},
        capture_output=True,
        text=True,
        check=False,
    )
    line = process.stderr.strip().splitlines()[-1]
    assert f"UserError: {name} is " in line and f"unset {name.upper()}" in line


def test_without_a_folder_to_write_there_is_no_cache_and_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RL_ES_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="set RL_ES_CACHE to a folder that can be written"):
        prepare_jax()


def test_only_the_message_about_programs_from_the_cache_is_held_back(capfd):
    """XLA's own lines are of about 1.7 kB; what else is written meanwhile comes through."""
    message = "E1130 cpu_aot_loader.cc:210] Loading XLA:CPU AOT result. Target machine feature "
    with suppress_loader_messages(), suppress_loader_messages():
        os.write(2, f"{message}+prefer-no-gather is not supported{' +feature' * 200}\n".encode())
        os.write(2, f"{message}+avx512f is not supported\n".encode())
        os.system("echo from a child >&2")
        sys.stderr.write("a true error\n")
    lines = {f"{message}+avx512f is not supported", "from a child", "a true error"}
    assert set(capfd.readouterr().err.splitlines()) == lines
