"""Runs that differ in one number alone: the rank of their noise, or the width of their network."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pandas as pd

from rl_es.results.text_files import parse_mapping

AXES = ("rank", "width")
FEWEST = 3  # values of the setting that a ladder has at least
FULL = {"full_rank_es": "eggroll"}  # a full-rank agent -> the agent that is its low-rank form
_RANK = "hyper.rank"


@dataclass(frozen=True)
class Ladder:
    """Runs of one agent over the values of a setting.

    Attributes:
      name: the agent's, or what its labels start with where it has several ladders.
      agent: the registry's name.
      values: of the setting, ascending; infinity stands for full rank.
      runs: by environment, rows of the runs table with the value as `setting`.
    """

    name: str
    agent: str
    values: tuple[float, ...]
    runs: Mapping[str, pd.DataFrame]


def ladders(runs: pd.DataFrame, axis: str) -> list[Ladder]:
    """The ladders of a runs table along `rank` or `width`, of at least three numbers each."""
    rows = _ranks(runs) if axis == "rank" else _widths(runs)
    found: dict[str, dict[str, list[pd.DataFrame]]] = {}
    for (agent, env, _), own in rows.dropna(subset="setting").groupby(["agent", "env", "same"]):
        if np.isfinite(own["setting"].unique()).sum() >= FEWEST:
            found.setdefault(str(agent), {}).setdefault(str(env), []).append(own)
    return [ladder for agent, by_env in found.items() for ladder in _named(agent, by_env)]


def _named(agent: str, by_env: Mapping[str, list[pd.DataFrame]]) -> list[Ladder]:
    """An agent's ladders: one is named by the agent, several by what their labels start with."""
    one = all(len(groups) == 1 for groups in by_env.values())
    parts: dict[str, dict[str, pd.DataFrame]] = {}
    for env, groups in by_env.items():
        for own in groups:
            letters = zip(*own["label"].unique(), strict=False)
            alike = takewhile(lambda several: len(set(several)) == 1, letters)
            common = "".join(several[0] for several in alike).rstrip(" =,(-_")
            parts.setdefault(agent if one else common or agent, {})[env] = own
    return [
        Ladder(name, agent, tuple(sorted(pd.concat(runs.values())["setting"].unique())), runs)
        for name, runs in parts.items()
    ]


def _ranks(runs: pd.DataFrame) -> pd.DataFrame:
    """The table with rank as `setting` (infinite: full rank), and all other settings in `same`."""
    none = pd.Series(np.nan, index=runs.index)
    rank = pd.to_numeric(runs.get(_RANK, none), errors="coerce")
    agent = runs["agent"].replace(FULL)
    able = agent.isin(set(agent[rank.notna()]))
    setting = rank.fillna(np.inf).where(able)
    same = _text(runs, [*_settings(runs, without=_RANK), "policy"])
    return runs.assign(setting=setting, same=same, agent=agent)


def _widths(runs: pd.DataFrame) -> pd.DataFrame:
    """The table with the width of equal layers as `setting`, and all other settings in `same`."""
    policies = [parse_mapping(text) for text in runs["policy"]]
    layers = [_layers(policy.pop("widths", None)) for policy in policies]
    setting = [float(widths[0]) if len(set(widths)) == 1 else np.nan for widths in layers]
    rest = [
        f"{len(widths)} {json.dumps(policy, sort_keys=True)}"
        for widths, policy in zip(layers, policies, strict=True)
    ]
    return runs.assign(setting=setting, same=_text(runs, _settings(runs)) + rest)


def _layers(widths: object) -> list[int]:
    """The widths of hidden layers, where a policy has such a list; else none."""
    known = isinstance(widths, list) and all(isinstance(width, int) for width in widths)
    return [*widths] if known else []


def _settings(runs: pd.DataFrame, without: str = "") -> list[str]:
    return [name for name in runs if name.startswith("hyper.") and name != without]


def _text(runs: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Some columns of each row, joined into one text."""
    known = runs[columns].astype(object).where(runs[columns].notna(), None)
    return known.map(str).agg("|".join, axis=1)
