"""`freeze_vectors`: noise and updates of matrices alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import registry
from rl_es.config import split_traced
from rl_es.errors import UserError
from rl_es.evolution.config import PersistentConfig, StrategyConfig
from rl_es.evolution.perturbation import leaves_by_path, without_vectors
from rl_es.interfaces import Limit, Matrix, ParameterSpec, ProblemSpec
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.policy import make_policy
from rl_es.tools.check_agent import Target
from rl_es.training.learner import Evolution

ENV = Target(length=4)
POLICY = make_policy(PolicyConfig(widths=(5,), head="gaussian"), ENV.spec)
VECTORS = {
    ("network", "Dense_0", "bias"),
    ("network", "Dense_1", "bias"),
    ("head", "log_std"),
}
AGENTS = [
    name
    for name in registry.agents.names()
    if issubclass(registry.agents.load(name).Hyperparameters, StrategyConfig)
]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in AGENTS),
    ("eggroll", {"optimiser": "sgd", "momentum": 0.5}),
    ("full_rank_es", {"optimiser": "adamw"}),
    ("nres", {"rank": 2}),
    *(("pes", {"rank": 1, "accumulator": form}) for form in ("dense", "list", "keys", "held-B")),
]


def learner(agent: str, **settings: Any) -> tuple[Evolution, dict[str, Any]]:
    module = registry.agents.load(agent)
    if issubclass(module.Hyperparameters, PersistentConfig):
        settings["window"] = 2
    config = module.Hyperparameters(population=8, weight_decay=0.1, **settings)
    strategy = module.make(config, ProblemSpec(POLICY.parameters, ENV.spec.episode_length))
    hyper = {name: jnp.float32(value) for name, value in split_traced(config)[1].items()}
    return Evolution(strategy, ENV, POLICY), hyper


@pytest.mark.parametrize(("agent", "settings"), VARIANTS)
def test_vectors_stay_and_matrices_move(agent: str, settings: dict[str, Any]) -> None:
    evolution, hyper = learner(agent, freeze_vectors=True, **settings)
    start = jax.tree.map(lambda leaf: leaf + 0.25, POLICY.init(jax.random.key(1)))
    state = evolution.init(jax.random.key(0), hyper)
    state = state.replace(agent=state.agent.replace(params=start))
    state, rows = jax.jit(evolution.advance)(state, Limit(jnp.int32(8), jnp.int32(2**30)))
    before, after = leaves_by_path(start), leaves_by_path(state.agent.params)
    unchanged = {path for path in before if np.array_equal(before[path], after[path])}
    assert unchanged == VECTORS and rows.update_norm > 0


@pytest.mark.parametrize("agent", ["full_rank_es", "eggroll"])
def test_members_have_the_vectors_of_the_centre(agent: str) -> None:
    for is_frozen, paths in ((True, set()), (False, VECTORS)):
        evolution, hyper = learner(agent, freeze_vectors=is_frozen)
        state = evolution.init(jax.random.key(0), hyper)
        noise = evolution.ask(state, evolution.population_slice(state))
        members = evolution.agent.members(state.agent, noise.noise)
        assert members.direct.keys() == paths and len(members.products) == 2


@pytest.mark.parametrize("agent", AGENTS)
def test_runs_without_it_keep_their_identity(agent: str) -> None:
    model = registry.agents.load(agent).Hyperparameters
    assert "freeze_vectors" not in model().identity()
    assert "freeze_vectors" not in model(freeze_vectors=False).identity()
    assert model(freeze_vectors=True).identity()["freeze_vectors"] is True


def parameters(*shapes: tuple[int, ...]) -> dict[str, Any]:
    return {str(shape): jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes}


def test_a_vector_has_one_long_axis_and_is_no_matrix() -> None:
    """A kernel of one output is a matrix; a gain that is stored as (1, 1, 8) is a vector."""
    kept = parameters((8, 1), (3, 3, 1, 4), (2, 8))
    frozen = parameters((8,), (1, 1, 8), (), (1,))
    low = {name: np.zeros(leaf.shape) for name, leaf in {**kept, **frozen}.items()}
    spec = ParameterSpec({**kept, **frozen}, {("(8, 1)",): Matrix(8, 1)}, {}, (low, low))
    rest = without_vectors(spec)
    assert rest.shapes == kept and rest.matrices == spec.matrices
    assert rest.bounds is not None and all(side.keys() == kept.keys() for side in rest.bounds)


def test_a_policy_of_vectors_alone_is_refused() -> None:
    with pytest.raises(UserError, match="freeze_vectors: this policy has no matrices"):
        without_vectors(ParameterSpec(parameters((8,))))
