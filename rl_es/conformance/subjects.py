"""What is checked by a name: an agent or an environment, its checks, and a training of it."""

import io
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rl_es import places, plugins, registry, tables
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.findings import FAIL, OK, WARN, Check, Finding
from rl_es.rollout.config import PolicyConfig, WrapperConfig

AGENT = "eggroll"  # trains an environment that is checked
TASK, SOLVED = "CartPole-v1", 475.0  # trains an agent that is checked
USUAL = {"population": 128, "lr": 0.05}  # of strategies on it, where nothing else is stated
EPISODE = 50  # steps at most, of a training that is only to run


def is_agent(name: str) -> bool:
    """Whether this names an agent, rather than an environment.

    Raises:
      UserError: it names neither.
    """
    if plugins.is_reference(name):
        return plugins.is_agent(name)
    agents, environments = registry.agents.files(), registry.environment_names()
    if name not in (*agents, *environments):
        near = did_you_mean(name, [*agents, *environments])
        raise UserError(f"no agent and no environment is named '{brief(name)}'{near}")
    return name in agents


def checks(name: str, stated: Mapping[str, Any], steps: int) -> Mapping[str, Check]:
    """The checks of an agent or an environment.

    Args:
      name: as in a sweep file.
      stated: an agent's settings, or an environment's options.
      steps: of an agent's training on CartPole; 0 for none.

    Raises:
      UserError: it cannot be had, or the settings do not fit.
    """
    return _of_agent(name, stated, steps) if is_agent(name) else _of_environment(name, stated)


def _of_agent(name: str, stated: Mapping[str, Any], steps: int) -> Mapping[str, Check]:
    from rl_es.conformance.agents import AgentChecks
    from rl_es.conformance.strategies import StrategyChecks
    from rl_es.json_files import validated

    module = registry.agents.load(name)
    if hasattr(module, "check"):
        module.check()
    try:
        validated(dict(stated), module.Hyperparameters)
    except places.Problem as problem:
        raise UserError(
            f"--settings: {'.'.join(map(str, problem.place))}: {problem.reason}"
        ) from None
    kind = AgentChecks if hasattr(module, "make_learner") else StrategyChecks
    every = {what: _quiet(check) for what, check in kind(name, stated).checks().items()}
    if steps:
        every[TASK] = partial(_learns, name, stated, steps)
    return every


def _learns(name: str, stated: Mapping[str, Any], steps: int) -> Iterator[Finding]:
    """Trains the agent on CartPole, and says what came of it."""
    from rl_es.sweep import execution
    from rl_es.sweep.loading import checked
    from rl_es.sweep.progress import progress
    from rl_es.sweep.reading import Document

    module = registry.agents.load(name)
    usual = {} if hasattr(module, "make_learner") else USUAL
    known = {
        key: value for key, value in usual.items() if key in module.Hyperparameters.model_fields
    }
    settings = {**known, **stated}
    content = {
        "name": "check",
        "seeds": 1,
        "defaults": {
            "budget": {"env_steps": steps},
            "evaluation": {"points": 10, "episodes": 16},
            "policy": {"widths": [32, 32]},
        },
        "environments": [{"name": TASK, "threshold": SOLVED}],
        "agents": [{"name": name, "with": settings}],
    }
    sweep, silent = checked(Document("check", content)), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        code = execution.run(sweep, Path(folder), progress(quiet=True, stream=silent))
        _, runs = tables.load(Path(folder))
    run = runs.iloc[0]
    if code:
        yield Finding(TASK, FAIL, f"{run['status']}: {run['reason']}", "see the other checks")
        return
    best, taken = float(run["best_return"]), int(run["env_steps"])
    told = ", ".join(f"{key} {value}" for key, value in settings.items()) or "its own settings"
    detail = f"a return of {best:.0f} of 500 at best, in {taken:,} environment steps ({told})"
    if best >= SOLVED:
        yield Finding(TASK, OK, f"learned: {detail}")
    else:
        remedy = "it may need other settings (--settings) or more steps (--steps)"
        yield Finding(TASK, WARN, f"not learned: {detail}", remedy)


def _of_environment(name: str, stated: Mapping[str, Any]) -> Mapping[str, Check]:
    from rl_es.conformance.environments import EnvironmentChecks
    from rl_es.training.platform import quiet_loading
    from rl_es.training.task import Task

    task = Task(name, stated, WrapperConfig(), PolicyConfig())
    try:
        task.check()
    except places.Problem as problem:
        place = ".".join(map(str, problem.place[2:]))
        raise UserError(f"--settings: {place}: {problem.reason}") from None
    with quiet_loading():
        library = not plugins.is_reference(name)
        every = dict(EnvironmentChecks(task.environment(), library=library).checks())
    every["training"] = partial(_trains, name, stated)
    return {what: _quiet(check) for what, check in every.items()}


def _quiet(check: Check) -> Check:
    """The check without what XLA says of programs that it takes from the cache."""

    def quiet() -> list[Finding]:
        from rl_es.training.platform import quiet_loading

        with quiet_loading():
            return list(check())

    return quiet


def _trains(name: str, stated: Mapping[str, Any]) -> Iterator[Finding]:
    """Trains on the environment for two generations."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from rl_es.config import split
    from rl_es.interfaces import Limit
    from rl_es.training.task import Task, make_training

    task = Task(name, stated, WrapperConfig(episode_length=EPISODE), PolicyConfig(widths=(8,)))
    config = registry.agents.load(AGENT).Hyperparameters(population=16)
    learner = make_training(task, AGENT, config, 1).learner
    hyper = {key: jnp.float32(value) for key, value in split(config)[1].items()}

    @jax.jit
    def train(key: Any) -> Any:
        state = learner.init(key, hyper)
        state, rows = learner.advance(state, Limit(jnp.int32(2), jnp.int32(2**30)))
        return rows.env_steps, rows.population_mean, learner.snapshot(state).params

    steps, mean, params = train(jax.random.key(0))
    sound = np.isfinite(mean) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    detail = f"two generations of {AGENT}: {int(steps):,} steps, mean return {float(mean):.3g}"
    yield Finding("training", OK if sound else FAIL, detail, "" if sound else "see the others")
