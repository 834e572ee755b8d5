"""Results of several folders as one: a comparison that was run in parts, or on several machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es.errors import UserError, brief, did_you_mean
from rl_es.results import tables, text_files
from rl_es.results.files import folder_of_results
from rl_es.results.manifest import EnvironmentProtocol, SweepManifest, read_sweep_manifest


def merge_folders(folders: Sequence[Path], out: Path, labels: Sequence[str] = ()) -> list[Path]:
    """Writes the tables of all folders as those of one; returns the paths.

    Policies and checkpoints are not merged. The manifest lists the folders with their sweeps.

    Args:
      folders: two results folders or more, which hold different runs.
      out: where the tables go; a new folder, or one that was merged before.
      labels: labels whose runs are merged; empty for all.

    Raises:
      UserError: too few folders, a label without runs, `out` holds other results, or the same run
        in two folders, unless two sweeps share it with equal numbers.
    """
    if len(folders) < 2:
        raise UserError("merge: needs two or more results folders")
    if tables.cell_paths(out) or tables.table_paths(out):
        is_source = out.resolve() in map(Path.resolve, folders)
        if is_source or not read_sweep_manifest(out).is_merge:
            raise UserError(f"{out}: holds results that would be lost; choose another with --out")
    curves, runs = tables.load_tables(*map(folder_of_results, folders))
    if labels:
        curves, runs = (select_labels(table, labels) for table in (curves, runs))
    manifests = [read_sweep_manifest(folder) for folder in folders]
    figures = [name for manifest in manifests for name in manifest.optional_figures]
    content: dict[str, Any] = {
        "sweep": {
            "name": out.resolve().name,
            "description": f"merged from {', '.join(folder.name for folder in folders)}",
            "figures": list(dict.fromkeys(figures)),
            "tuning": [r for manifest in manifests for r in manifest.sweep.get("tuning", ())],
        },
        "starts": [dict(start) for manifest in manifests for start in manifest.starts],
        "merged": [
            {"folder": str(folder), "sweep": dict(manifest.sweep)}
            for folder, manifest in zip(folders, manifests, strict=True)
        ],
    }
    content["protocol"] = merge_protocols(manifests)
    known = dict.fromkeys(label for m in manifests for label in m.labels)
    content["labels"] = [label for label in known if label in labels or not labels]
    baselines: dict[str, dict[str, float]] = {}
    for manifest in manifests:
        for env, returns in manifest.baselines.items():
            baselines[env] = {**returns, **baselines.get(env, {})}
    if baselines:
        content["baselines"] = baselines
    styles = {agent: style for manifest in manifests for agent, style in manifest.styles.items()}
    if styles:
        content["styles"] = {agent: style.to_json() for agent, style in styles.items()}
    out.mkdir(parents=True, exist_ok=True)
    paths = [*tables.write_tables(out, curves, runs), out / "manifest.json"]
    text_files.write_json(paths[-1], content)
    return paths


def select_labels(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Returns the rows of some labels; raises UserError for one that has no row."""
    known = list(dict.fromkeys(table["label"]))
    for label in labels:
        if label not in known:
            raise UserError(f"--label: no label '{brief(label)}' here{did_you_mean(label, known)}")
    return table[table["label"].isin(labels)].reset_index(drop=True)


def merge_protocols(manifests: Sequence[SweepManifest]) -> list[dict[str, Any]]:
    """Returns the protocols of environments in which those of all folders are known and equal."""
    if not all(manifest.protocol for manifest in manifests):
        return []
    protocols: dict[str, list[EnvironmentProtocol]] = {}
    for manifest in manifests:
        for protocol in manifest.protocol:
            protocols.setdefault(protocol.env, []).append(protocol)
    return [
        first.model_dump(mode="json")
        for first, *others in protocols.values()
        if all(other == first for other in others)
    ]
