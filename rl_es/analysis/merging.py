"""Results of several folders as one: a comparison that was run in parts, or on several machines."""

import json
from collections.abc import Sequence
from pathlib import Path

from rl_es import tables
from rl_es.analysis import manifest
from rl_es.errors import UserError
from rl_es.files import write_text


def merge(folders: Sequence[Path], out: Path) -> list[Path]:
    """Writes the tables of all folders as those of one; returns the paths.

    Nothing else of the folders is taken: no policies, no checkpoints. The manifest holds those of
    the folders, by name.

    Args:
      folders: of results, at least two, which hold different runs.
      out: where the tables go; not a folder that a sweep was run into.

    Raises:
      UserError: too few folders, the same run in two, or `out` holds cells.
    """
    if len(folders) < 2:
        raise UserError("merge: needs two or more results folders")
    if tables.cell_paths(out):
        raise UserError(f"{out}: a sweep was run into it; choose another folder with --out")
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: no such folder")
    curves, runs = tables.load(*folders)
    told = {folder: manifest.read(folder) for folder in folders}
    asked = [name for one in told.values() for name in one.sweep.get("figures", ())]
    content = {
        "sweep": {
            "name": out.resolve().name,
            "description": f"merged from {', '.join(folder.name for folder in folders)}",
            "figures": list(dict.fromkeys(asked)),
        },
        "starts": [dict(start) for one in told.values() for start in one.starts],
        "merged": {folder.name: dict(one.sweep) for folder, one in told.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    written = tables.write_tables(out, curves, runs)
    write_text(out / "manifest.json", json.dumps(content, indent=2, sort_keys=True) + "\n")
    return [*written, out / "manifest.json"]
