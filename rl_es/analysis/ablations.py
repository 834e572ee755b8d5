"""Runs that differ in one setting alone.

The setting is the rank of their noise, the width of their network or their population.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pandas as pd

from rl_es import registry
from rl_es.results.text_files import parse_mapping

ABLATED_SETTINGS = ("rank", "width", "population")
MIN_VALUES = 3  # of the setting in an ablation
_RANK, _POPULATION = "hyper.rank", "hyper.population"


@dataclass(frozen=True)
class Ablation:
    """Runs of one agent over the values of a setting, with all other settings equal.

    Attributes:
      name: The agent's name, or the common start of its labels where the agent has several
        ablations.
      agent: The registry's name.
      values: Values of the setting, ascending; infinity stands for full rank.
      runs: By environment, rows of the runs table with the value as `setting`.
    """

    name: str
    agent: str
    values: tuple[float, ...]
    runs: Mapping[str, pd.DataFrame]


def low_rank_agents(agents: Iterable[str]) -> dict[str, str]:
    """Returns the low-rank agent, of those among some agents, by its full-rank relative."""
    return {full: low for low, full in registry.declarations("FULL_RANK", agents).items()}


def ablated_settings(runs: pd.DataFrame) -> list[str]:
    """Returns the settings of which a runs table has ablations, those of most values first.

    Population is one only where neither rank nor width is: beside them it is the smaller question.
    """
    counts = {
        setting: sum(len(ablation.values) for ablation in find_ablations(runs, setting))
        for setting in ABLATED_SETTINGS
    }
    settings = [setting for setting in ABLATED_SETTINGS if counts[setting]]
    if len(settings) > 1 and "population" in settings:
        settings.remove("population")
    return sorted(settings, key=lambda setting: -counts[setting])


def find_ablations(runs: pd.DataFrame, setting: str) -> list[Ablation]:
    """Finds the ablations of a setting in a runs table, of at least three numbers each.

    Args:
      runs: The runs table.
      setting: One of `ABLATED_SETTINGS`.
    """
    with_setting = {"rank": _with_ranks, "width": _with_widths, "population": _with_populations}
    rows = with_setting[setting](runs)
    groups: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for (agent, env, _), group in rows.dropna(subset="setting").groupby(["agent", "env", "rest"]):
        if np.isfinite(group["setting"].unique()).sum() >= MIN_VALUES:
            groups.setdefault(str(agent), {}).setdefault(str(env), []).append(group)
    return [
        ablation for agent, by_env in groups.items() for ablation in _ablations_of(agent, by_env)
    ]


def _ablations_of(agent: str, by_env: Mapping[str, list[pd.DataFrame]]) -> list[Ablation]:
    """Returns an agent's ablations; several are named by the common start of their labels."""
    single = all(len(groups) == 1 for groups in by_env.values())
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for env, groups in by_env.items():
        for group in groups:
            columns = zip(*group["label"].unique(), strict=False)
            equal = takewhile(lambda letters: len(set(letters)) == 1, columns)
            prefix = "".join(letters[0] for letters in equal).rstrip(" =,(-_")
            tables.setdefault(agent if single else prefix or agent, {})[env] = group
    return [
        Ablation(name, agent, tuple(sorted(pd.concat(runs.values())["setting"].unique())), runs)
        for name, runs in tables.items()
    ]


def _with_ranks(runs: pd.DataFrame) -> pd.DataFrame:
    """Adds rank as `setting` (infinite for full rank), and all other settings as `rest`."""
    none = pd.Series(np.nan, index=runs.index)
    rank = pd.to_numeric(runs.get(_RANK, none), errors="coerce")
    agent = runs["agent"].replace(low_rank_agents(runs["agent"]))
    has_rank = agent.isin(set(agent[rank.notna()]))
    setting = rank.fillna(np.inf).where(has_rank)
    rest = _join_columns(runs, [*_hyperparameters(runs, without=_RANK), "policy"])
    return runs.assign(setting=setting, rest=rest, agent=agent)


def _with_widths(runs: pd.DataFrame) -> pd.DataFrame:
    """Adds the width of equal layers as `setting`, and all other settings as `rest`."""
    policies = [parse_mapping(text) for text in runs["policy"]]
    layers = [_layer_widths(policy.pop("widths", None)) for policy in policies]
    setting = [float(widths[0]) if len(set(widths)) == 1 else np.nan for widths in layers]
    policy_texts = [
        f"{len(widths)} {json.dumps(policy, sort_keys=True)}"
        for widths, policy in zip(layers, policies, strict=True)
    ]
    rest = _join_columns(runs, _hyperparameters(runs)) + policy_texts
    return runs.assign(setting=setting, rest=rest)


def _with_populations(runs: pd.DataFrame) -> pd.DataFrame:
    """Adds population as `setting`, and all other settings as `rest`."""
    none = pd.Series(np.nan, index=runs.index)
    setting = pd.to_numeric(runs.get(_POPULATION, none), errors="coerce")
    rest = _join_columns(runs, [*_hyperparameters(runs, without=_POPULATION), "policy"])
    return runs.assign(setting=setting, rest=rest)


def _layer_widths(widths: object) -> list[int]:
    """Returns the widths of hidden layers, where a policy has such a list; else an empty one."""
    valid = isinstance(widths, list) and all(isinstance(width, int) for width in widths)
    return [*widths] if valid else []


def _hyperparameters(runs: pd.DataFrame, without: str = "") -> list[str]:
    return [name for name in runs if name.startswith("hyper.") and name != without]


def _join_columns(runs: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Joins some columns of each row into one text."""
    values = runs[columns].astype(object).where(runs[columns].notna(), None)
    return values.map(str).agg("|".join, axis=1)
