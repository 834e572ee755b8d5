"""Registry of agents and environment suites: from a name in a sweep file to the module behind it.

Modules are found by file name, in `rl_es.agents`, in `rl_es.envs` and in packages that were added,
and are imported on first use. No line of the engine names a particular agent or environment.
Neither finding nor importing them loads jax: a file keeps its heavy imports inside functions.

An agent file `agents/NAME.py` has
- `Hyperparameters`: a `rl_es.config.Config`.
- `NUMERICS`: an integer, raised by hand when the agent's numbers change.
- `make(config, problem)`: returns a `rl_es.interfaces.Agent`; or, for an agent that is not an
  evolution strategy, `make_learner(config, env, policy, normalise_observations)`: returns a
  `rl_es.interfaces.Learner`.
- `check()`, optional: raises a `UserError` where a library that the agent needs is missing.
- `STYLE`, optional: a `rl_es.config.Style`, its look in figures.
- `FULL_RANK`, optional: the name of the agent that is the same but for noise of full rank.
- `REFERENCE`, optional: what others are compared with it for, unless a command names another:
  `returns`, `gradients` (estimates of them), or `scores` (the high end of normalised returns).
- `ACTIONS`, optional: `discrete` or `real`, the only actions that it can take.
- `CHECK_POLICY`, optional: settings of a policy that it can train, for `check`.
- `EVALUATED`, `USE` and `NOTE`, optional: what of it is evaluated and saved, when to use it, and
  what a reader of its results has to know, for `docs/agents.md`.

A file of a family of agents has `AGENTS` instead: objects with the attributes above, by the name of
the agent, such as `evosax/SNES`. Their docstrings describe them in `list`.

A suite file `envs/SUITE.py` has
- `NAMES`: the names of its environments.
- `Options`: a `Config`, the options of each of them.
- `make(name, options)`: returns a `rl_es.interfaces.Environment`.
- `NUMERICS`: as for agents.
- `check(name, options)`, optional: raises a `UserError` for options that an environment cannot
  take, without loading jax.
- `data_digest(name, options)`, optional: returns 16 hex digits that stand for the data behind an
  environment, for data that the options do not determine. They are part of a run's identity.
- `NATIVE` and `native(name)`, optional: the names that have a `rl_es.interfaces.Native`, and the
  function that returns it. Policies can then be evaluated in both.
- `RETURN_LABEL`, optional: what a return of its environments measures, with the unit, for axes.
- `LEFT_OUT`, optional: by the name of an environment that its library has and the suite has not,
  the reason.
- `NOTES`, optional: by an environment's name, what a reader of its results has to know.
- `DRAWN` and `drawing(name, options, width, height)`, optional: the names that have a
  `rl_es.interfaces.Drawing`, and the function that returns one of this size in pixels.
- `GENERATIVE`, optional: the names whose environment is a `rl_es.interfaces.Generative`. A replay
  of these is a text that the policy writes.
- `TRANSCRIBED`, optional: the names whose environment is a `rl_es.interfaces.Transcribed`. A replay
  of these is the text of some episodes.

A file of several small suites, each with options of its own, has `SUITES` instead: objects with
the attributes above, by the suite's name. Their docstrings describe them in `list`.

Plug-ins (`rl_es.plugins`) have the same attributes. They are named by a reference, or by an entry
point of an installed package. A package of suites may have a module `_styles` with
`adapt(name, made)`, which converts an environment of another library to an `Environment`.
"""

import contextlib
import importlib
import importlib.util
import pkgutil
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from rl_es import plugins
from rl_es.errors import UserError, brief, did_you_mean, short_reason


class ModuleFolder:
    """The modules of some packages by name, and the plug-ins of one group of entry points.

    Attributes:
      kind: what a module is, for messages.
      group: the group of entry points.
      packages: dotted names of the packages that are searched.
      members: the attribute of a module that holds several of them by name.
    """

    def __init__(self, kind: str, group: str, package: str, members: str):
        """Searches one package, until others are added."""
        self.kind, self.group, self.packages, self.members = kind, group, [package], members

    def add_package(self, package: str) -> None:
        """Adds a package whose modules are found from now on."""
        if package not in self.packages:
            self.packages.append(package)

    def names(self) -> list[str]:
        """Returns all names, sorted: of modules, and of entry points."""
        return list(self._references())

    def load(self, name: str) -> Any:
        """Returns the module of this name, or the plug-in that the name refers to.

        Raises:
          UserError: there is no such module (the message names the nearest), or the plug-in cannot
            be loaded.
        """
        if plugins.is_reference(name):
            return _load_plugin(self.kind, name, name)
        references = self._references()
        if name not in references:
            raise UserError(f"unknown {self.kind} '{brief(name)}'{did_you_mean(name, references)}")
        if name in _entry_points(self.group):
            return _load_plugin(self.kind, references[name], name)
        return self._import(name, references[name])

    def is_own(self, name: str) -> bool:
        """Returns True for a name of this package, False for a plug-in's."""
        return not plugins.is_reference(name) and self._references()[name].startswith("rl_es.")

    def _references(self) -> dict[str, str]:
        """Returns the dotted name of the module, or the plug-in's reference, of every name."""
        references: dict[str, str] = {}
        pairs = [pair for package in self.packages for pair in self._search(package)]
        for name, reference in [*pairs, *_entry_points(self.group).items()]:
            if name in references:
                two = f"{references[name]} and {reference}"
                raise UserError(f"two {self.kind}s are named '{name}': {two}")
            references[name] = reference
        return dict(sorted(references.items()))

    def _search(self, package: str) -> Iterator[tuple[str, str]]:
        """Yields each name of a package, and the dotted name of its module."""
        try:
            path = importlib.import_module(package).__path__
        except ImportError as error:
            raise UserError(
                f"no {self.kind} is known: {package} cannot be imported ({short_reason(error)}); "
                "install this package again (pip install -e .)"
            ) from None
        for module in pkgutil.iter_modules(path):
            if not module.name.startswith("_") and not module.ispkg:
                reference = f"{package}.{module.name}"
                members = getattr(importlib.import_module(reference), self.members, (module.name,))
                yield from ((name, reference) for name in members)

    def _import(self, name: str, reference: str) -> Any:
        """Returns what a module has under a name: itself, or one of several."""
        module = importlib.import_module(reference)
        return getattr(module, self.members)[name] if hasattr(module, self.members) else module


agents = ModuleFolder("agent", "rl_es.agents", package="rl_es.agents", members="AGENTS")
suites = ModuleFolder("environment suite", "rl_es.envs", package="rl_es.envs", members="SUITES")
_entry_points = cache(plugins.entry_points)


@cache
def _load_plugin(kind: str, reference: str, name: str) -> Any:
    """Returns a plug-in, loaded once."""
    if kind == agents.kind:
        return plugins.load_agent(reference)
    return plugins.load_suite(reference, name, _adapt)


def _adapt(name: str, env: Any) -> Any:
    """Converts a plug-in's environment to an `Environment`, or refuses one of unknown style."""
    for package in suites.packages:
        if importlib.util.find_spec(f"{package}._styles") is not None:
            return importlib.import_module(f"{package}._styles").adapt(name, env)
    return env


class MissingExtra(UserError):
    """A library that is not installed; the message says which command installs it.

    Attributes:
      extra: the extra of this package that installs it.
    """

    def __init__(self, message: str, extra: str):
        super().__init__(message)
        self.extra = extra


_CLONE = Path(__file__).parents[1]
_is_required: ContextVar[bool] = ContextVar("_is_required", default=True)


def install_command(*extras: str) -> str:
    """Returns the command that installs extras.

    In a clone the command keeps the versions that `constraints.txt` pins; an installed wheel has no
    such file.
    """
    names = ",".join(extras)
    constraints = _CLONE / "constraints.txt"
    if not (constraints.is_file() and (_CLONE / "pyproject.toml").is_file()):
        return f"pip install 'rl_es[{names}]'"
    place, project = str(constraints), f"{_CLONE}[{names}]"
    if Path.cwd() == _CLONE:
        place, project = constraints.name, f".[{names}]"
    return f"pip install -c {shlex.quote(place)} -e {shlex.quote(project)}"


def require(module: str, extra: str, user: str) -> None:
    """Checks that an optional library is installed. Imports nothing.

    Args:
      module: top-level name under which the library is imported.
      extra: the extra of this package that installs it.
      user: the thing that needs it, such as an environment's name, for the message.

    Raises:
      MissingExtra: it is not; says what to install.
    """
    if _is_required.get() and importlib.util.find_spec(module) is None:
        raise MissingExtra(f"{user} needs {extra}'s library: {install_command(extra)}", extra)


@contextlib.contextmanager
def allow_missing_extras(allowed: bool = True) -> Iterator[None]:
    """Lets sweeps be read within this context that need libraries which are not installed."""
    token = _is_required.set(not allowed)
    try:
        yield
    finally:
        _is_required.reset(token)


def missing_extra(module: Any) -> str | None:
    """Returns the extra that an agent or a suite needs and that is not installed; else None."""
    if not hasattr(module, "check"):
        return None
    try:
        with allow_missing_extras(False):
            if hasattr(module, "NAMES"):
                module.check(module.NAMES[0], module.Options.model_construct())
            else:
                module.check()
    except MissingExtra as error:
        return error.extra
    return None


def check_requires(module: str, extra: str) -> Callable[[str, Any], None]:
    """Returns the `check` of a suite whose environments all need one library, whatever options."""

    def check(name: str, options: Any) -> None:
        require(module, extra, name)

    return check


def strategy_names() -> list[str]:
    """Returns the names of the agents that are evolution strategies."""
    return [name for name in agents.names() if not hasattr(agents.load(name), "make_learner")]


def declarations(attribute: str, names: Iterable[str]) -> dict[str, Any]:
    """Returns an optional attribute of agents' files, of those among `names` that have it.

    Nothing is imported for names that no agent has, nor for references to plug-ins: a results
    folder that is drawn names its agents, and must not decide what code runs.
    """
    requested, values = set(names), {}
    for name in agents.names():
        try:
            module = agents.load(name) if name in requested else None
        except UserError:  # an installed plug-in that cannot be imported here
            continue
        if hasattr(module, attribute):
            values[name] = getattr(module, attribute)
    return values


def plugin_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Returns the styles of the plug-ins among some agents, as the manifest of a folder has them.

    Drawing the folder imports no plug-in that is named by a reference (`declarations`).
    """
    references = sorted({name for name in names if plugins.is_reference(name)})
    styles = {name: getattr(agents.load(name), "STYLE", None) for name in references}
    return {name: style.to_json() for name, style in styles.items() if style is not None}


def reference_agent(purpose: str, names: Iterable[str]) -> str | None:
    """Returns the first of some names whose agent's `REFERENCE` is this purpose; None without."""
    references = declarations("REFERENCE", names)
    return next((name for name, value in references.items() if value == purpose), None)


def environment_names() -> list[str]:
    """Returns the names of all environments, suite by suite."""
    return [name for suite in suites.names() for name in suites.load(suite).NAMES]


def native_names() -> list[str]:
    """Returns the names of the environments that another simulator has as well."""
    modules = map(suites.load, suites.names())
    return [name for suite in modules for name in getattr(suite, "NATIVE", ())]


def generates_text(name: str) -> bool:
    """Returns whether policies of an environment write text.

    Raises:
      UserError: no suite has it, or its plug-in cannot be loaded.
    """
    return name in getattr(environment_suite(name), "GENERATIVE", ())


def is_transcribed(name: str) -> bool:
    """Returns whether episodes of an environment are read as text.

    Raises:
      UserError: no suite has it, or its plug-in cannot be loaded.
    """
    return name in getattr(environment_suite(name), "TRANSCRIBED", ())


def replays_as_text(name: str) -> bool:
    """Returns whether a replay in an environment is a text, which the policy writes or is read as.

    Raises:
      UserError: no suite has it, or its plug-in cannot be loaded.
    """
    return generates_text(name) or is_transcribed(name)


def data_digest(name: str, options: Any) -> str | None:
    """Returns the digest of an environment's data; None where its suite states none.

    Raises:
      UserError: the data cannot be read.
    """
    suite = environment_suite(name)
    return suite.data_digest(name, options) if hasattr(suite, "data_digest") else None


def is_own_environment(name: str) -> bool:
    """Returns True for an environment of this package, False for a plug-in's."""
    return not plugins.is_reference(name) and any(
        name in suites.load(suite).NAMES and suites.is_own(suite) for suite in suites.names()
    )


def return_label(name: str) -> str:
    """Returns what a return of an environment measures; `return` where its suite does not say.

    As in `declarations`, nothing is imported for an unknown name or a reference to a plug-in.
    """
    if not plugins.is_reference(name):
        with contextlib.suppress(UserError):
            return getattr(environment_suite(name), "RETURN_LABEL", "return")
    return "return"


def environment_suite(name: str) -> Any:
    """Returns the suite that an environment belongs to.

    Raises:
      UserError: no suite has it (the message names the nearest), or its plug-in cannot be loaded.
    """
    if plugins.is_reference(name):
        return suites.load(name)
    for suite in suites.names():
        module = suites.load(suite)
        if name in module.NAMES:
            return module
        if reason := getattr(module, "LEFT_OUT", {}).get(name):
            raise UserError(f"{name}: {reason}")
    raise UserError(f"unknown environment '{brief(name)}'{did_you_mean(name, environment_names())}")
