"""The checks of an agent or an environment by its name, with a short training of it."""

import io
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rl_es import errors, plugins, registry
from rl_es.config import Config
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results import tables
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.terminal import WARN, Check, expect
from rl_es.tools import AGENT, ENVIRONMENT

SOLVED = 475.0  # the return from which `ENVIRONMENT` counts as solved
USUAL = {"population": 128, "lr": 0.05}  # settings of strategies on it that are not given
WIDTHS = (32, 32)  # of the network on it
EPISODE = 50  # most steps of an episode, where training only has to run


def is_agent(name: str) -> bool:
    """Returns whether this is the name of an agent; otherwise it is that of an environment.

    Raises:
      UserError: it is the name of neither.
    """
    if plugins.is_reference(name):
        return plugins.is_agent(name)
    agents, environments = registry.agents.names(), registry.environment_names()
    if name not in (*agents, *environments):
        near = did_you_mean(name, [*agents, *environments])
        raise UserError(f"no agent and no environment is named '{brief(name)}'{near}")
    return name in agents


def parse_settings(text: str | None) -> dict[str, Any]:
    """Returns the value of `--settings`, a mapping in YAML; empty for None.

    Raises:
      UserError: it is no mapping.
    """
    from rl_es.sweep.yaml_reader import parse_value

    try:
        settings = {} if text is None else parse_value(text)
    except UserError as error:
        raise UserError(f"--settings: {error}") from None
    if not isinstance(settings, dict):
        raise UserError("--settings: must be a mapping, such as '{rank: 4}'")
    return settings


def checks_of(name: str, settings: Mapping[str, Any], steps: int) -> Mapping[str, Check]:
    """Returns the checks of an agent or an environment.

    Args:
      name: as in a sweep file.
      settings: an agent's settings, or an environment's options.
      steps: environment steps of an agent's training on CartPole; 0 for none.

    Raises:
      UserError: it cannot be loaded, or the settings do not fit.
    """
    if not is_agent(name):
        return _checks_of_environment(name, settings)
    from rl_es.results.text_files import validate
    from rl_es.tools.check_agent import AgentChecks, StrategyChecks

    module = registry.agents.load(name)
    if hasattr(module, "check"):
        module.check()
    try:
        validate(dict(settings), module.Hyperparameters)
    except errors.ConfigError as problem:
        raise _setting_error(problem, problem.path) from None
    kind = AgentChecks if hasattr(module, "make_learner") else StrategyChecks
    checks = _quiet(kind(name, settings).checks())
    if steps:  # compiles quietly by itself, which cannot be nested
        checks[ENVIRONMENT] = partial(_check_learning, name, settings, steps)
    return checks


def _check_learning(name: str, settings: Mapping[str, Any], steps: int) -> str:
    """Trains the agent on CartPole, unless it refuses it: it solves it."""
    from rl_es.sweep import execution
    from rl_es.sweep.loading import validate_sweep
    from rl_es.sweep.progress import make_progress
    from rl_es.sweep.yaml_reader import Document
    from rl_es.tools.check_agent import complete_config

    settings = complete_config(name, settings, USUAL)
    policy = {"widths": [*WIDTHS], **getattr(registry.agents.load(name), "CHECK_POLICY", {})}
    if refusal := _refusal(name, settings, policy):
        return f"not trained: {refusal}"
    content = {
        "name": "check",
        "seeds": 1,
        "defaults": {
            "budget": {"env_steps": steps},
            "evaluation": {"points": 10, "episodes": 16},
            "policy": policy,
        },
        "environments": [{"name": ENVIRONMENT, "threshold": SOLVED}],
        "agents": [{"name": name, "with": settings}],
    }
    sweep, silent = validate_sweep(Document("check", content)), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        code = execution.run_sweep(sweep, Path(folder), make_progress(quiet=True, stream=silent))
        run = tables.load_tables(Path(folder))[1].iloc[0]
    expect(not code, f"{run['status']}: {run['reason']}", "see the other checks")
    best, env_steps = float(run["best_return"]), int(run["env_steps"])
    text = ", ".join(f"{key} {value}" for key, value in settings.items()) or "its own settings"
    detail = f"a return of {best:.0f} of 500 at best, in {env_steps:,} environment steps ({text})"
    remedy = "it may need other settings (--settings) or more steps (--steps)"
    expect(best >= SOLVED, f"not learned: {detail}", remedy, WARN)
    return f"learned: {detail}"


def _refusal(name: str, settings: Mapping[str, Any], policy: Mapping[str, Any]) -> str:
    """Returns why the agent refuses CartPole, as a method of gradients does; '' if it does not."""
    from rl_es.training.task import Task, make_training_setup

    config = registry.agents.load(name).Hyperparameters(**settings)
    try:
        task = Task.from_options(ENVIRONMENT, {}, WrapperConfig(), PolicyConfig(**policy))
        make_training_setup(task, name, config, 1)
    except UserError as refusal:
        return str(refusal)
    return ""


def _checks_of_environment(name: str, settings: Mapping[str, Any]) -> Mapping[str, Check]:
    from rl_es.tools.check_environment import EnvironmentChecks
    from rl_es.training.compilation import suppress_loader_messages
    from rl_es.training.task import Task

    try:
        task = Task.from_options(name, settings, WrapperConfig(), PolicyConfig())
    except errors.ConfigError as problem:
        raise _setting_error(problem, problem.path[2:]) from None
    with suppress_loader_messages():
        library = not plugins.is_reference(name)
        checks = EnvironmentChecks(task.environment(), library=library).checks()
    return _quiet({**checks, "training": partial(_check_training, name, task.options)})


def _setting_error(problem: errors.ConfigError, path: errors.ConfigPath) -> UserError:
    """Returns the error of a setting at this path in `--settings`."""
    return UserError(f"--settings: {'.'.join(map(str, path))}: {problem.reason}")


def _quiet(checks: Mapping[str, Check]) -> dict[str, Check]:
    """Returns the checks without XLA's messages about programs that come from the cache.

    Their products are those of training.
    """

    def quiet(check: Check) -> Any:
        from rl_es.training.compilation import float32_products, suppress_loader_messages

        with suppress_loader_messages(), float32_products():
            return check()

    return {name: partial(quiet, check) for name, check in checks.items()}


def _check_training(name: str, options: Config) -> str:
    """Trains on the environment for two generations: what comes out is finite."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from rl_es.config import split_traced
    from rl_es.interfaces import Limit
    from rl_es.training.compilation import compile_function, scalar_leaves
    from rl_es.training.task import Task, make_training_setup

    task = Task(name, options, WrapperConfig(episode_length=EPISODE), PolicyConfig(widths=(8,)))
    config = registry.agents.load(AGENT).Hyperparameters(population=16)
    learner = make_training_setup(task, AGENT, config, 1).learner
    hyper = scalar_leaves(split_traced(config)[1])

    def train(key: Any) -> Any:
        state = learner.init(key, hyper)
        state, rows = learner.advance(state, Limit(jnp.int32(2), jnp.int32(2**30)))
        return rows.env_steps, rows.population_mean, learner.snapshot(state).params

    key = jax.random.key(0)
    steps, mean, params = compile_function(train, key).call(key)
    detail = f"two generations of {AGENT}: {int(steps):,} steps, mean return {float(mean):.3g}"
    is_finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((mean, params)))
    expect(is_finite, detail, "see the others")
    return detail
