"""Plug-ins: agents and environments of others, named as in `my_package.my_module:MyAgent`.

A reference is a class, or an object, in a module that can be imported, or in a Python file that is
named from the current directory: `./my_agent.py:MyAgent`. Without a class, `./my_agent.py` is a
file like those of the suite's own agents or environments. Installed packages may give theirs a name
by an entry point, in the group `rl_es.agents` or `rl_es.envs`.

What an agent's or a suite's own file has at its top, a class has as attributes (`rl_es.registry`
lists them); what it lacks is made here. So the rest of the engine sees no difference.

What determines a plug-in's numbers is its `NUMERICS`, or, where it states none, its module's code
without comments and docstrings: when that changes, runs are repeated. Code that it imports does not
count.

Only what looks like an agent or an environment is called, but any module that a reference names is
imported.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pydantic

from rl_es.config import Config
from rl_es.errors import UserError, brief, did_you_mean, short_reason

_REFERENCE = re.compile(r"(?P<where>[^:\0]+?\.py|[A-Za-z_][\w.]*)(?::(?P<what>[A-Za-z_]\w*))?")


def is_reference(name: str) -> bool:
    """Whether this is a reference to a plug-in, rather than a name."""
    matched = _REFERENCE.fullmatch(name)
    return matched is not None and (matched["where"].endswith(".py") or matched["what"] is not None)


def short_name(name: str) -> str:
    """A name for people: the class of a reference, or its file without folder and suffix."""
    matched = _REFERENCE.fullmatch(name) if is_reference(name) else None
    return name if matched is None else matched["what"] or Path(matched["where"]).stem


def entry_points(group: str) -> dict[str, str]:
    """References by the names that installed packages give them in a group.

    Raises:
      UserError: two packages give the same name.
    """
    found: dict[str, str] = {}
    for point in metadata.entry_points(group=group):
        if found.setdefault(point.name, point.value) != point.value:
            both = f"{found[point.name]} and {point.value}"
            raise UserError(f"two plug-ins are named '{point.name}' in {group}: {both}")
    return found


def load(reference: str) -> tuple[Any, ModuleType]:
    """What a reference names, and the module that it is in.

    Raises:
      UserError: there is no such file, module or class, or importing it fails.
    """
    matched = _REFERENCE.fullmatch(reference)
    if matched is None:
        raise UserError(f"'{brief(reference)}' names no class: write my_package.my_module:MyClass")
    where, what = matched["where"], matched["what"]
    module = _file(Path(where)) if where.endswith(".py") else _module(where)
    if what is None:
        return module, module
    if not hasattr(module, what):
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__
        ]
        raise UserError(f"{where} has no '{what}'{did_you_mean(what, own)}")
    return getattr(module, what), module


def is_agent(reference: str) -> bool:
    """Whether a reference names an agent, rather than an environment.

    Raises:
      UserError: it names nothing.
    """
    return hasattr(load(reference)[0], "Hyperparameters")


def _needs_class(reference: str, found: Any) -> None:
    """Refuses a reference to a whole file that has classes of its own, and names one.

    Raises:
      UserError: names the last of them, which is most likely the one.
    """
    if isinstance(found, ModuleType):
        own = [name for name, one in vars(found).items()
               if isinstance(one, type) and one.__module__ == found.__name__]  # fmt: skip
        if own:
            raise UserError(f"{reference} is a file: name a class of it, as {reference}:{own[-1]}")


def module_numerics(found: Any, module: ModuleType) -> int | str:
    """A plug-in's `NUMERICS`, or a hash of its module's code where it states none."""
    stated = getattr(found, "NUMERICS", None)
    if stated is not None:
        return stated
    tree = ast.parse(Path(inspect.getfile(module)).read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = [*node.body[1:], ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def load_agent(reference: str) -> Any:
    """An agent as the registry gives it: `Hyperparameters`, `make` or `make_learner`, `NUMERICS`.

    Raises:
      UserError: there is none; says what it lacks.
    """
    found, module = load(reference)
    settings = getattr(found, "Hyperparameters", None)
    if not (isinstance(settings, type) and issubclass(settings, Config)):
        _needs_class(reference, found)
        raise UserError(
            f"{reference} has no Hyperparameters: an agent needs a class of that name, derived "
            "from rl_es.config.Config or from those of rl_es.evolution.config"
        )
    functions = ("make", "make_learner", "check")
    made = {name: getattr(found, name) for name in functions if hasattr(found, name)}
    if not made.keys() & {"make", "make_learner"}:
        if not isinstance(found, type) or not (hasattr(found, "ask") or hasattr(found, "advance")):
            raise UserError(
                f"{reference} is no agent: it needs make(config, problem), or to be a class with "
                "the methods of rl_es.interfaces.Agent that is made of (config, problem)"
            )
        made["make" if hasattr(found, "ask") else "make_learner"] = found
    about = {"Hyperparameters": settings, "NUMERICS": module_numerics(found, module)}
    return SimpleNamespace(**about, **made, __doc__=found.__doc__)


def load_suite(reference: str, name: str, adapted: Callable[[str, Any], Any]) -> Any:
    """A suite of one environment: `NAMES`, `Options`, `make`, `NUMERICS`; or a suite's whole file.

    Args:
      reference: of a class that is called with the options, or of an environment itself.
      name: its name in sweep files.
      adapted: makes the engine's `Environment` out of what the class gives, or raises a UserError.

    Raises:
      UserError: there is none; says what it lacks.
    """
    found, module = load(reference)
    if hasattr(found, "NAMES") and hasattr(found, "make"):
        return found
    if isinstance(found, ModuleType) or not _steps(found):
        _needs_class(reference, found)
        raise UserError(
            f"{reference} is no environment: it needs reset(key) and step(key, state, action), as "
            "in rl_es.interfaces.Environment, or those of gymnax or brax"
        )
    options, call = _options(found)

    def make(name: str, options: Config) -> Any:
        try:
            made = call(options)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{reference}: {_where(error)}{short_reason(error)}") from None
        return adapted(name, made)

    return SimpleNamespace(
        NAMES=(name,),
        Options=options,
        make=make,
        NUMERICS=module_numerics(found, module),
        __doc__=getattr(found, "__doc__", None),
    )


def _steps(found: Any) -> bool:
    """Whether this may be an environment, or make one."""
    ways = (("reset", "step"), ("reset_env", "step_env"))
    return any(all(hasattr(found, name) for name in way) for way in ways)


def _options(found: Any) -> tuple[type[Config], Callable[[Any], Any]]:
    """The options of an environment's class, and the function that makes it from them."""
    if not isinstance(found, type):
        return pydantic.create_model("Options", __base__=Config), lambda options: found
    own = getattr(found, "Options", None)
    if isinstance(own, type) and issubclass(own, Config):
        return own, found
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(found, eval_str=True).parameters.items():
        kind, default = parameter.annotation, parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if kind in (int, float, bool, str) and (
            default is parameter.empty or isinstance(default, int | float | str)
        ):
            fields[name] = (kind, ... if default is parameter.empty else default)
        elif default is parameter.empty:
            raise UserError(
                f"{found.__name__}({name}): an option needs a default, or a type of int, float, "
                "bool or str; or give the class an Options, derived from rl_es.config.Config"
            )
    model = pydantic.create_model("Options", __base__=Config, **fields)
    return model, lambda options: found(**options.model_dump())


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UserError(f"no module '{name}' can be imported here") from None
        raise UserError(f"{name}: {_where(error)}{short_reason(error)}") from None
    except Exception as error:
        raise UserError(
            f"{name}: {_where(error)}{type(error).__name__}: {short_reason(error)}"
        ) from None


def _file(path: Path) -> ModuleType:
    """The module of a file, imported once."""
    if not path.is_file():
        raise UserError(f"no file {path} (from {Path.cwd()}, where it is looked for)")
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"rl_es_plugin_{key}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # of a name that ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"{path}: {_where(error)}{type(error).__name__}: {short_reason(error)}"
        ) from None
    return module


def _where(error: Exception) -> str:
    """The innermost line that raised it, as `line 12 of my_agent.py: `."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename]
    return f"line {own[-1].lineno} of {Path(own[-1].filename).name}: " if own else ""
