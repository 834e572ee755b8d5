"""Names to factories. Agents and environments are found by file name, and loaded on first use.

The engine knows no particular agent or environment: the packages `agents` and `envs` say here where
to look when they are imported. Listing names loads no jax, since an agent or environment file keeps
its heavy imports inside `make`.

An agent file `agents/NAME.py` has
- `Hyperparameters`, a `Config`;
- `NUMERICS`, an integer that is raised by hand when the agent's numbers change;
- `make(config, problem)`, which gives a `rl_es.interfaces.Agent`; or, of an agent that is no
  evolution strategy, `make_learner(config, env, policy, normalise_observations)`, which gives a
  `rl_es.interfaces.Learner`;
- maybe `check()`, which refuses the agent where its library is missing.

An environment file `envs/SUITE.py` has
- `NAMES`, `Options` (a `Config`), `make(name, options)` and `NUMERICS`;
- maybe `check(name, options)`, which refuses, without loading jax, options that an environment
  cannot take;
- maybe `NATIVE`, the names that another simulator has as well, and `native(name)`, which gives such
  a `rl_es.interfaces.Native`: a policy can then be evaluated in both;
- maybe `DRAWN`, the names that it can draw, and `drawing(name, options, width, height)`, which
  gives a `rl_es.interfaces.Drawing` of that size.

Those of others (`rl_es.plugins`) have the same, and are named by where they are, or by the entry
points of installed packages. A package of suites may have a module `_styles` with
`adapt(name, made)`, which makes an `Environment` out of another library's.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from rl_es import plugins
from rl_es.errors import UserError, brief, did_you_mean


class ModuleFolder:
    """The modules of some packages by file name, and the plug-ins of an entry point group."""

    def __init__(self, kind: str, group: str):
        """Starts empty.

        Args:
          kind: what the modules are, for messages.
          group: of the entry points.
        """
        self.kind, self.group = kind, group
        self.packages: list[str] = []

    def add_package(self, package: str) -> None:
        """Adds a package whose modules are to be found."""
        if package not in self.packages:
            self.packages.append(package)

    def _found(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if module.name.startswith("_") or module.ispkg:
                    continue
                self._add(found, module.name, f"{package}.{module.name}")
        for name, reference in _entry_points(self.group).items():
            self._add(found, name, reference)
        return dict(sorted(found.items()))

    def _add(self, found: dict[str, str], name: str, place: str) -> None:
        if name in found:
            raise UserError(f"two {self.kind}s are named '{name}': {found[name]} and {place}")
        found[name] = place

    def names(self) -> list[str]:
        """Names, sorted: of files, and of entry points."""
        return list(self._found())

    def load(self, name: str) -> Any:
        """The module of this file name, or what a plug-in has in its place.

        Raises:
          UserError: there is no such file (the message names the nearest), or the plug-in cannot
            be loaded.
        """
        if plugins.is_reference(name):
            return _plugin(self.kind, name, name)
        found = self._found()
        if name not in found:
            raise UserError(f"unknown {self.kind} '{brief(name)}'{did_you_mean(name, found)}")
        if name in _entry_points(self.group):
            return _plugin(self.kind, found[name], name)
        return importlib.import_module(found[name])


agents = ModuleFolder("agent", "rl_es.agents")
suites = ModuleFolder("environment suite", "rl_es.envs")
_entry_points = cache(plugins.entry_points)


@cache
def _plugin(kind: str, reference: str, name: str) -> Any:
    """A plug-in, loaded once."""
    if kind == agents.kind:
        return plugins.load_agent(reference)
    return plugins.load_suite(reference, name, _adapted)


def _adapted(name: str, made: Any) -> Any:
    """The engine's environment, made out of what a plug-in's class gave.

    Raises:
      UserError: no package of suites knows how.
    """
    for package in suites.packages:
        if importlib.util.find_spec(f"{package}._styles") is not None:
            return importlib.import_module(f"{package}._styles").adapt(name, made)
    return made


def require(module: str, extra: str, what: str) -> None:
    """Refuses `what` where the library that it needs is not installed. Imports nothing.

    Args:
      module: top-level name under which the library is imported.
      extra: the extra of this package that installs it.
      what: what was asked for, such as an environment's name.

    Raises:
      UserError: says what to install.
    """
    if importlib.util.find_spec(module) is None:
        raise UserError(f"{what} needs {extra}'s library: pip install 'rl_es[{extra}]'")


def check_requires(module: str, extra: str) -> Callable[[str, Any], None]:
    """The `check` of a suite whose environments all need a library, and take any options."""

    def check(name: str, options: Any) -> None:
        require(module, extra, name)

    return check


def strategy_names() -> list[str]:
    """Names of the agents that are evolution strategies."""
    return [name for name in agents.names() if not hasattr(agents.load(name), "make_learner")]


def environment_names() -> list[str]:
    """Every environment's name, suite by suite."""
    return [name for suite in suites.names() for name in suites.load(suite).NAMES]


def native_names() -> list[str]:
    """Names of the environments that another simulator has as well."""
    loaded = map(suites.load, suites.names())
    return [name for suite in loaded for name in getattr(suite, "NATIVE", ())]


def environment_suite(name: str) -> Any:
    """The module that this environment is of, or what a plug-in has in its place.

    Raises:
      UserError: no suite has it (the message names the nearest), or the plug-in cannot be loaded.
    """
    if plugins.is_reference(name):
        return suites.load(name)
    for suite in suites.names():
        module = suites.load(suite)
        if name in module.NAMES:
            return module
    raise UserError(f"unknown environment '{brief(name)}'{did_you_mean(name, environment_names())}")
