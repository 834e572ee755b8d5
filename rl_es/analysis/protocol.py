"""What was run: the protocol of each environment, the settings of each label, and the commands.

Policies, environments and settings are those of the runs. Budgets, evaluations, the order of the
sweep and the commands are those of the manifest; folders from before these were recorded show what
follows from the sweep alone. All is neither escaped nor laid out, as in
`rl_es.analysis.sweep_tables`.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rl_es.analysis.drawing import natural_order
from rl_es.analysis.formatting import (
    DASH,
    Table,
    TableCell,
    count_cell,
    format_range,
    make_table,
    text_cell,
)
from rl_es.analysis.results import setting_columns
from rl_es.errors import printable
from rl_es.results.manifest import EnvironmentProtocol, SweepManifest
from rl_es.results.text_files import parse_mapping
from rl_es.terminal import start_command

ALL = "all"
BUDGETS = {"env_steps": "steps", "generations": "generations", "seconds": "seconds"}
NOTE = (
    "Budget: when a run ends, in environment steps, generations or seconds of training. "
    "Evaluations: of the unperturbed policy, spread over the budget, besides the one before any "
    "training. Head auto: categorical for discrete actions, gaussian for real ones."
)
SETTINGS = "Settings that differ"
CONSTANTS = "Settings with one value"
RECORDED = (
    "The commands are those that made this folder, as they were given, with the folder after "
    "--out. Finished runs are kept, so name another folder there to compute all of them again. "
    "manifest.json holds the sweep as it ran, if its file has changed since. The last line makes "
    "this report alone."
)
DERIVED = (
    "The command was not recorded, so overrides by --set may be missing. The sweep file may lie in "
    "a folder below sweeps/. Finished runs are kept; the last line makes this report alone."
)


def rank_in(order: Sequence[str]) -> Callable[[str], tuple[Any, ...]]:
    """Returns a sorting key of names: their places in `order`, then their natural order.

    A name that is not in `order`, such as a variant `pes (lr=0.1)` or `pes lr=0.1`, takes the place
    of the longest name that it starts with, and the last place if there is none.
    """
    places = {name: place for place, name in enumerate(order)}

    def key(name: str) -> tuple[Any, ...]:
        starts = [known for known in places if name == known or name.startswith(f"{known} ")]
        place = places[max(starts, key=len)] if starts else len(places)
        return place, natural_order(name)

    return key


def label_order(manifest: SweepManifest) -> list[str]:
    """Returns the labels in the order of the sweep; without the manifest's, those of its agents."""
    return [*manifest.labels] or _entry_labels(manifest, "agents")


def environment_order(manifest: SweepManifest) -> list[str]:
    """Returns the environments' labels in the order of the sweep."""
    return [entry.env for entry in manifest.protocol] or _entry_labels(manifest, "environments")


def _entry_labels(manifest: SweepManifest, key: str) -> list[str]:
    entries = manifest.sweep.get(key) or ()
    names = [entry.get("label") or entry.get("name") for entry in entries]
    return [name for name in names if isinstance(name, str)]


def environment_protocols(manifest: SweepManifest) -> dict[str, EnvironmentProtocol]:
    """Returns the budget and the evaluations by environment, as far as they are known.

    A sweep in a manifest has all values of every entry, so that an evaluation of an environment
    that differs from the default may be an override or not: it is then unknown.
    """
    if manifest.protocol:
        return {protocol.env: protocol for protocol in manifest.protocol}
    defaults, protocols = manifest.sweep.get("defaults") or {}, {}
    for entry in manifest.sweep.get("environments") or ():
        env, evaluation = entry.get("label") or entry["name"], entry.get("evaluation") or {}
        default = defaults.get("evaluation") or {}
        protocols[env] = EnvironmentProtocol(
            env=env,
            budget=entry.get("budget") or defaults.get("budget") or {},
            evaluation={k: v for k, v in evaluation.items() if default.get(k) == v},
        )
    return protocols


def protocol_table(runs: pd.DataFrame, manifest: SweepManifest) -> Table:
    """Returns a table of budgets, evaluations, policies and environments.

    It has a row per environment, in the order of the sweep, or several where labels have other
    policies there. A column without any value is left out.
    """
    protocols = environment_protocols(manifest)
    rows: list[dict[str, TableCell]] = []
    for env in sorted(runs["env"].unique(), key=rank_in(environment_order(manifest))):
        protocol = protocols.get(env, EnvironmentProtocol(env=env))
        of_env = runs[runs["env"] == env]
        parts = [group for _, group in of_env.groupby(["environment", "policy"], dropna=False)]
        parts.sort(key=lambda group: min(map(rank_in(label_order(manifest)), group["label"])))
        for group in parts:
            labels = sorted(group["label"].unique(), key=rank_in(label_order(manifest)))
            row = {
                "environment": text_cell(env),
                "agents": text_cell(", ".join(labels) if len(parts) > 1 else ""),
                "budget": TableCell(_budget_text(protocol.budget)),
                "evaluations": count_cell(protocol.evaluation.get("points")),
                "episodes of each": count_cell(protocol.evaluation.get("episodes")),
                **_policy_cells(parse_mapping(group["policy"].iloc[0])),
                "parameters": TableCell(_range_text(group["parameters"])),
                "environment settings": TableCell(_environment_text(env, group)),
            }
            rows.append(row)
    heads = [h for h in rows[0] if any(row[h].text not in ("", DASH) for row in rows)]
    return make_table(heads, ([row[head] for head in heads] for row in rows))


def _budget_text(budget: Mapping[str, float | None]) -> str:
    parts = [f"{value:,.10g} {BUDGETS[kind]}" for kind, value in budget.items() if value]
    return ", ".join(parts)


def _policy_cells(policy: Mapping[str, Any]) -> dict[str, TableCell]:
    """Returns cells on a policy; empty ones for what is not known."""
    widths = policy.get("widths")
    normalised = {True: "yes", False: "no"}.get(policy.get("normalise_observations"), "")
    init = policy.get("init")
    texts = {
        "network": policy.get("network"),
        "widths": " ".join(map(str, widths)) if isinstance(widths, list) else "",
        "activation": policy.get("activation"),
        "weights start as": None if init == "normal" else init,
        "head": policy.get("head"),
        "observations normalised": normalised,
    }
    return {name: text_cell(text) for name, text in texts.items()}


def _range_text(column: pd.Series) -> str:
    values = column.dropna()
    return format_range(values) if len(values) else ""


def _environment_text(env: str, runs: pd.DataFrame) -> str:
    """Returns what the sweep sets in an environment: its name, options, wrappers, threshold."""
    environment = parse_mapping(runs["environment"].iloc[0])
    name = environment.get("name")
    settings = {
        **{"name": name if name != env else None},
        **(environment.get("options") or {}),
        **(environment.get("wrappers") or {}),
        "threshold": None if runs["threshold"].isna().all() else float(runs["threshold"].max()),
    }
    plain = {"action_repeat": 1, "reward_scale": 1.0}
    return ", ".join(
        f"{key} {setting_text(value)}"
        for key, value in settings.items()
        if value is not None and plain.get(key) != value
    )


def settings_tables(runs: pd.DataFrame, manifest: SweepManifest) -> dict[str, Table]:
    """Returns tables of the agents' settings, by title; without those that would be empty.

    The first has a row per label, or several where its settings differ between environments, and a
    column per setting that has several values. The second has a row per setting with one value, and
    the agents that have it. Rows of the first are in the order of the sweep.
    """
    columns = setting_columns(runs)
    counts = {column: runs[column].nunique() for column in columns}
    varied = {column: name for column, name in columns.items() if counts[column] > 1}
    constant = {column: name for column, name in columns.items() if counts[column] == 1}
    tables = {}
    if varied:
        rows = list(_varied_rows(runs, varied, manifest))
        hidden = {"agent"} if all(row["agent"] == row["label"] for row in rows) else set()
        if all(row["environments"].text == ALL for row in rows):
            hidden.add("environments")
        heads = [head for head in rows[0] if head not in hidden]
        tables[SETTINGS] = make_table(heads, ([row[head] for head in heads] for row in rows))
    if constant:
        rows = [
            (name, setting_text(runs[column].dropna().iloc[0]), _agents_with(runs, column))
            for column, name in constant.items()
        ]
        cells = (map(TableCell, row) for row in rows)
        tables[CONSTANTS] = make_table(("setting", "value", "agents"), map(tuple, cells))
    return tables


def _varied_rows(
    runs: pd.DataFrame, varied: Mapping[str, str], manifest: SweepManifest
) -> Iterator[dict[str, TableCell]]:
    """Yields the cells of a label's settings, by head; a dash where it has no such setting."""
    texts = runs[[*varied]].map(setting_text)
    variants = texts.agg("|".join, axis=1)
    environments = rank_in(environment_order(manifest))
    for label in sorted(runs["label"].unique(), key=rank_in(label_order(manifest))):
        of_label = runs[runs["label"] == label]
        groups = of_label.groupby(variants.loc[of_label.index], sort=False)
        parts = sorted(
            (group for _, group in groups), key=lambda g: min(map(environments, g["env"]))
        )
        for group in parts:
            names = sorted(group["env"].unique(), key=environments)
            agent = str(group["agent"].iloc[0])
            yield {
                "label": text_cell(label),
                "agent": text_cell(agent),
                "environments": text_cell(", ".join(names) if len(parts) > 1 else ALL),
                **{
                    name: setting_cell(runs[column], group.index[0])
                    for column, name in varied.items()
                },
            }


def _agents_with(runs: pd.DataFrame, column: str) -> str:
    """Returns `ALL`, or the agents that have a setting."""
    agents = runs["agent"][runs[column].notna()].unique()
    if len(agents) == runs["agent"].nunique():
        return ALL
    return ", ".join(sorted(map(str, agents), key=natural_order))


def setting_cell(column: pd.Series, row: Any) -> TableCell:
    """Returns the cell of a setting; columns of numbers are sorted by them."""
    value, is_number = column.loc[row], column.dtype.kind == "f"
    return TableCell(setting_text(value), float(value) if is_number else None)


def setting_text(value: object) -> str:
    """Returns a setting as a table shows it; a dash for none."""
    if value is None or value != value:
        return DASH
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def command_lines(
    folder: Path, runs: pd.DataFrame, manifest: SweepManifest
) -> tuple[list[str], str]:
    """Returns the command lines that make a folder and its report again, and a remark on them."""
    start = start_command()
    results = f"results/{printable(folder.resolve().name)}"
    remark = RECORDED
    commands = [*manifest.commands]
    if manifest.merged_folders is not None:
        commands.append(("merge", *manifest.merged_folders, "--out", results))
    elif commands and "--out" in commands[-1]:
        results = commands[-1][commands[-1].index("--out") + 1]
    if not manifest.commands:
        names = sorted(map(str, runs["sweep"].dropna().unique()), key=natural_order)
        files = [f"sweeps/{' '.join(name.split())}.yaml" for name in names]
        commands = [*(("run", file) for file in files), *commands]
        remark = DERIVED
    commands.append(("report", results))
    return [f"{start} {shlex.join(map(printable, words))}" for words in commands], remark
