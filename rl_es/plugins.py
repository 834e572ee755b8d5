"""Plug-ins: agents and environments outside of this package, named by a reference.

A reference names a class or an object in a module that can be imported,
`my_package.my_module:MyAgent`, or in a Python file, `./my_agent.py:MyAgent`, relative to the
current directory. `./my_agent.py`, without a class, is a file with the attributes that
`rl_es.registry` lists. An installed package may give a reference a name by an entry point, in the
group `rl_es.agents` or `rl_es.envs`.

A class has these attributes, too; this module adds those that it lacks. The rest of the engine sees
no difference between a plug-in and a module of the registry.

A run's id depends on a plug-in's `NUMERICS`. Where it states none, it depends on a hash of the
module's code without comments and docstrings: when the code changes, runs are repeated. The code of
a file includes the files beside it that it imports. Changes of other modules are not noticed.

Every module that a reference names is imported. Only a class that looks like an agent or an
environment is called.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pydantic

from rl_es.config import Config, Style
from rl_es.errors import (
    UserError,
    brief,
    did_you_mean,
    explain_exception,
    short_reason,
    source_line,
)

FILE_MODULE = "rl_es_plugin_"  # how names of modules of files start
_REFERENCE = re.compile(r"(?P<module>[^:\0]+?\.py|[A-Za-z_][\w.]*)(?::(?P<object>[A-Za-z_]\w*))?")


def is_reference(name: str) -> bool:
    """Returns True for a reference to a plug-in, False for a name in the registry."""
    match = _REFERENCE.fullmatch(name)
    return match is not None and (match["module"].endswith(".py") or match["object"] is not None)


def short_name(name: str) -> str:
    """Returns a name for display: a reference's class, or its file without folder and suffix."""
    match = _REFERENCE.fullmatch(name) if is_reference(name) else None
    return name if match is None else match["object"] or Path(match["module"]).stem


def entry_points(group: str) -> dict[str, str]:
    """Returns the references of a group of entry points, by name.

    Raises:
      UserError: two packages give the same name.
    """
    references: dict[str, str] = {}
    for point in metadata.entry_points(group=group):
        if references.setdefault(point.name, point.value) != point.value:
            two = f"{references[point.name]} and {point.value}"
            raise UserError(f"two plug-ins are named '{point.name}' in {group}: {two}")
    return references


def load(reference: str) -> tuple[Any, ModuleType]:
    """Returns the object that a reference names, and the module that defines it.

    Raises:
      UserError: there is no such file, module or class, or importing it fails.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UserError(f"'{brief(reference)}' names no class: write my_package.my_module:MyClass")
    location, attribute = match["module"], match["object"]
    module = _import_file(Path(location)) if location.endswith(".py") else _import(location)
    if attribute is None:
        return module, module
    if not hasattr(module, attribute):
        objects = vars(module).items()
        names = [k for k, v in objects if getattr(v, "__module__", None) == module.__name__]
        raise UserError(f"{location} has no '{attribute}'{did_you_mean(attribute, names)}")
    return getattr(module, attribute), module


def is_agent(reference: str) -> bool:
    """Returns True for the reference of an agent, False for that of an environment.

    Raises:
      UserError: the reference names nothing.
    """
    return hasattr(load(reference)[0], "Hyperparameters")


def _check_class(reference: str, plugin: Any) -> None:
    """Refuses a file that defines classes, and suggests the last, which is most likely meant."""
    if isinstance(plugin, ModuleType):
        classes = [name for name, value in vars(plugin).items()
                   if isinstance(value, type) and value.__module__ == plugin.__name__]  # fmt: skip
        if classes:
            raise UserError(
                f"{reference} is a file: name a class of it, as {reference}:{classes[-1]}"
            )


def module_numerics(plugin: Any, module: ModuleType) -> int | str:
    """Returns a plug-in's `NUMERICS`, or a hash of its module's code where it states none."""
    numerics = getattr(plugin, "NUMERICS", None)
    if numerics is not None:
        return numerics
    path = Path(inspect.getfile(module))
    neighbours = _neighbours(path) if module.__name__.startswith(FILE_MODULE) else []
    code = "".join(map(_code, (path, *neighbours)))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _neighbours(path: Path, known: tuple[Path, ...] = ()) -> list[Path]:
    """Returns the files beside a file that it imports, directly or through one another."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    neighbours: list[Path] = []
    for name in sorted(set(names)):
        file = path.with_name(f"{name}.py")
        if file.is_file() and file not in (path, *known, *neighbours):
            further = _neighbours(file, (path, *known, *neighbours, file))
            neighbours += [file, *further]
    return neighbours


def _code(path: Path) -> str:
    """Returns the code of a file without comments and docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = [*node.body[1:], ast.Pass()]
    return ast.unparse(tree)


def load_agent(reference: str) -> Any:
    """Returns an agent: `Hyperparameters`, `make` or `make_learner`, and `NUMERICS`.

    Raises:
      UserError: the reference names no agent, or its style is none; says what it lacks.
    """
    plugin, module = load(reference)
    hyperparameters = getattr(plugin, "Hyperparameters", None)
    if not (isinstance(hyperparameters, type) and issubclass(hyperparameters, Config)):
        _check_class(reference, plugin)
        raise UserError(
            f"{reference} has no Hyperparameters: an agent needs a class of that name, derived "
            "from rl_es.config.Config or from those of rl_es.evolution.config"
        )
    names = ("make", "make_learner", "check", "STYLE", "FULL_RANK", "REFERENCE")
    attributes = {name: getattr(plugin, name) for name in names if hasattr(plugin, name)}
    if not attributes.keys() & {"make", "make_learner"}:
        if not isinstance(plugin, type) or not (
            hasattr(plugin, "ask") or hasattr(plugin, "advance")
        ):
            raise UserError(
                f"{reference} is no agent: it needs make(config, problem), or to be a class with "
                "the methods of rl_es.interfaces.Agent that is made of (config, problem)"
            )
        attributes["make" if hasattr(plugin, "ask") else "make_learner"] = plugin
    if not isinstance(attributes.get("STYLE"), Style | None):
        raise UserError(f"{reference}: STYLE must be a rl_es.config.Style")
    return SimpleNamespace(
        Hyperparameters=hyperparameters,
        NUMERICS=module_numerics(plugin, module),
        __doc__=plugin.__doc__,
        **attributes,
    )


def load_suite(reference: str, name: str, adapt: Callable[[str, Any], Any]) -> Any:
    """Returns a suite of one environment, or the suite that a file is.

    Args:
      reference: names a class that is called with the options, or an environment.
      name: the environment's name in sweep files.
      adapt: converts the object that the class makes to an `Environment`, or raises a UserError.

    Raises:
      UserError: the reference names no environment; says what it lacks.
    """
    plugin, module = load(reference)
    if hasattr(plugin, "NAMES") and hasattr(plugin, "make"):
        return plugin
    styles = (("reset", "step"), ("reset_env", "step_env"))
    has_style = any(all(hasattr(plugin, name) for name in style) for style in styles)
    if isinstance(plugin, ModuleType) or not has_style:
        _check_class(reference, plugin)
        if inspect.isfunction(plugin):
            location, _, function = reference.rpartition(":")
            raise UserError(
                f"{reference} is no environment but a function, which is not called; write "
                f"env = {function}() in its module, and name {location}:env"
            )
        raise UserError(
            f"{reference} is no environment: it needs reset(key) and step(key, state, action), as "
            "in rl_es.interfaces.Environment, or those of gymnax or brax"
        )
    options, construct = _options_of(plugin)

    def make(name: str, options: Config) -> Any:
        try:
            return adapt(name, construct(options))
        except UserError:
            raise
        except Exception as error:
            raise _code_error(reference, error) from None

    return SimpleNamespace(
        NAMES=(name,),
        Options=options,
        make=make,
        NUMERICS=module_numerics(plugin, module),
        __doc__=getattr(plugin, "__doc__", None),
    )


def _options_of(plugin: Any) -> tuple[type[Config], Callable[[Any], Any]]:
    """Returns the options of an environment, and the function that makes it from them.

    The options of a class without `Options` are the parameters of its constructor.
    """
    if not isinstance(plugin, type):
        return pydantic.create_model("Options", __base__=Config), lambda options: plugin
    options_class = getattr(plugin, "Options", None)
    if isinstance(options_class, type) and issubclass(options_class, Config):
        return options_class, plugin
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(plugin, eval_str=True).parameters.items():
        kind, default = parameter.annotation, parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if kind in (int, float, bool, str) and (
            default is parameter.empty or isinstance(default, int | float | str)
        ):
            fields[name] = (kind, ... if default is parameter.empty else default)
        elif default is parameter.empty:
            raise UserError(
                f"{plugin.__name__}({name}): an option needs a default, or a type of int, float, "
                "bool or str; or give the class an Options, derived from rl_es.config.Config"
            )
    model = pydantic.create_model("Options", __base__=Config, **fields)
    return model, lambda options: plugin(**options.model_dump())


def _import(name: str) -> ModuleType:
    """Imports a module by its dotted name.

    `agents` and `envs` were packages of their own before they became `rl_es.agents` and
    `rl_es.envs`: references in older files and saved policies still name them so.
    """
    package, *rest = name.split(".")[:2]
    if package in ("agents", "envs") and importlib.util.find_spec(
        ".".join(("rl_es", package, *rest))
    ):
        name = f"rl_es.{name}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UserError(f"no module '{name}' can be imported here") from None
        raise UserError(f"{name}: {short_reason(error)}{source_line(error)}") from None
    except Exception as error:
        raise _code_error(name, error) from None


def _import_file(path: Path) -> ModuleType:
    """Imports a file, once; an error of it names the line.

    It may import files beside it, as a script may. Their folder comes last on the path, so that
    they hide no library.
    """
    if not path.is_file():
        raise UserError(f"no file {path} (from {Path.cwd()}, where it is looked for)")
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"{FILE_MODULE}{key}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # the file's name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _code_error(path, error) from None
    for neighbour in _neighbours(path.resolve()):
        if other := _namesake(neighbour):
            del sys.modules[name]
            raise UserError(
                f"{path}: it imports {neighbour.stem}, which is {other} by now, not the file "
                "beside it; rename one of the two"
            )
    return module


def _namesake(neighbour: Path) -> str | None:
    """Returns the file beside another plug-in that Python has imported under a neighbour's name.

    A library of that name is meant as it is: it hides the neighbour everywhere.
    """
    file = getattr(sys.modules.get(neighbour.stem), "__file__", None)
    plugins = (module for name, module in sys.modules.items() if name.startswith(FILE_MODULE))
    folders = {Path(module.__file__).parent for module in plugins if module.__file__}
    if file is None or Path(file) == neighbour or Path(file).parent not in folders:
        return None
    return file


def _code_error(source: str | Path, error: Exception) -> UserError:
    """Returns an error of a user's code as one line, with the file and the line."""
    line = None
    if isinstance(error, SyntaxError) and error.filename is not None:
        line = f" ({Path(error.filename).name}:{error.lineno})"
    return UserError(f"{source}: {explain_exception(error, line)}")
