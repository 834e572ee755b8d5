"""The files that `new` writes: a complete environment or agent to start from, and a sweep of it."""

import keyword
import re
from pathlib import Path
from typing import Literal

from rl_es.errors import UserError, brief
from rl_es.results.files import check_folder, write_bytes
from rl_es.terminal import start_command

TEMPLATES = Path(__file__).parent / "templates"
Kind = Literal["env", "agent"]


def write_template(
    kind: Kind, name: str, folder: Path, agents: int | None = None
) -> tuple[Path, Path, str]:
    """Writes `NAME.py` and `NAME.yaml`, a sweep with it, into a folder.

    Args:
      kind: what to start.
      name: lower-case words joined by `_`; the class has the same words joined in CamelCase.
      folder: made if it does not exist.
      agents: number of agents that act in an environment as a team; None for one.

    Returns:
      Both paths, and the reference by which the sweep names the class.

    Raises:
      UserError: no module can have this name, or one of the files exists; nothing is written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or len(name) > 60:
        raise UserError(
            f"'{brief(name)}' is no name of a module: lower-case letters, digits and _, "
            "such as my_env"
        )
    if agents is not None and kind != "env":
        raise UserError("--agents: is for an environment: new env NAME --agents 3")
    check_folder(folder)
    paths = [folder / f"{name}{suffix}" for suffix in (".py", ".yaml")]
    for path in paths:
        if path.exists():
            raise UserError(f"{path}: is there already; choose another name, or remove it")
    title, prefix = "".join(word.capitalize() for word in name.split("_")), _from_here(folder)
    folder.mkdir(parents=True, exist_ok=True)
    template = kind if agents is None else "team"
    for path in paths:
        text = (TEMPLATES / f"my_{template}{path.suffix}").read_text(encoding="utf-8")
        text = text.replace(f"My{template.capitalize()}", title).replace(f"my_{template}", name)
        text = text.replace("AGENTS = 3", f"AGENTS = {agents}")
        text = text.replace("./", prefix).replace("python run_benchmark.py", start_command())
        write_bytes(path, text.encode())
    return paths[0], paths[1], f"{prefix}{name}.py:{title}"


def _from_here(folder: Path) -> str:
    """The folder as references in a sweep name it, ending in `/`."""
    try:
        inside = folder.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return f"{folder.resolve().as_posix()}/"
    return "./" if inside == "." else f"./{inside}/"
