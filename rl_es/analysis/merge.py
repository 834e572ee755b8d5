"""Results of several folders as one: a comparison that was run in parts, or on several machines."""

from collections.abc import Sequence
from pathlib import Path

from rl_es.errors import UserError
from rl_es.results import manifest, tables, text_files
from rl_es.results.files import folder_of_results


def merge_folders(folders: Sequence[Path], out: Path) -> list[Path]:
    """Writes the tables of all folders as those of one; returns the paths.

    Nothing else of the folders is taken: no policies, no checkpoints. The manifest lists the
    folders with their sweeps.

    Args:
      folders: of results, at least two, which hold different runs.
      out: where the tables go; a new folder, or one that was merged before.

    Raises:
      UserError: too few folders, the same run in two, or `out` holds other results.
    """
    if len(folders) < 2:
        raise UserError("merge: needs two or more results folders")
    inside = tables.cell_paths(out) or tables.table_paths(out)
    if inside and (
        not manifest.read_sweep_manifest(out).merged or out.resolve() in map(Path.resolve, folders)
    ):
        raise UserError(f"{out}: holds results that would be lost; choose another with --out")
    curves, runs = tables.load_tables(*map(folder_of_results, folders))
    told = [manifest.read_sweep_manifest(folder) for folder in folders]
    asked = [name for one in told for name in one.sweep.get("figures", ())]
    content = {
        "sweep": {
            "name": out.resolve().name,
            "description": f"merged from {', '.join(folder.name for folder in folders)}",
            "figures": list(dict.fromkeys(asked)),
            "tuning": [record for one in told for record in one.sweep.get("tuning", ())],
        },
        "starts": [dict(start) for one in told for start in one.starts],
        "merged": [
            {"folder": str(folder), "sweep": dict(one.sweep)}
            for folder, one in zip(folders, told, strict=True)
        ],
    }
    out.mkdir(parents=True, exist_ok=True)
    written = tables.write_tables(out, curves, runs)
    text_files.write_json(out / "manifest.json", content)
    return [*written, out / "manifest.json"]
