"""Applies figure settings: to tables, once and before anything is drawn, and to the paper size.

Labels and environments are selected, ordered and renamed in the tables themselves, so that a kind
of figure knows nothing of it. Scores keep the scale of all results: a label that is not drawn may
still be the reference that is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from rl_es import registry
from rl_es.analysis.drawing import SHEETS, FigureOptions, natural_order
from rl_es.analysis.results import ResultTables
from rl_es.errors import ConfigError, UserError
from rl_es.results.figure_settings import FigureSettings


def adapt(source: Any, options: FigureOptions) -> tuple[Any, FigureOptions]:
    """Returns what is drawn, and how, after the settings of the folder's sweep and the options'.

    Args:
      source: Any source of figures; only tables of results are changed.
      options: Their settings override those of the sweep.
    """
    if not isinstance(source, ResultTables):
        return source, apply_to_sheet(options)
    settings = source.figure_settings.override(options.settings)
    options = apply_to_sheet(replace(options, settings=settings))
    if not (settings.labels or settings.environments or settings.rename or settings.colours):
        return source, options
    reference = options.reference or registry.reference_agent("returns", source.legend)
    if reference in settings.rename:
        options = replace(options, reference=settings.rename[reference])
    return adapt_results(source, settings), options


def apply_to_sheet(options: FigureOptions) -> FigureOptions:
    """Returns options whose sheet has the size, the caption and the legend of their settings.

    A figure of a stated width is for a page, and none is higher than that.
    """
    settings = options.settings
    sheet = options.sheet if settings.size == "auto" else SHEETS[settings.size]
    page_height = SHEETS["page"].height if settings.width else sheet.height
    sheet = replace(
        sheet,
        width=settings.width or sheet.width,
        height=settings.height or page_height,
        exact_height=settings.height,
        caption=settings.caption,
        legend=settings.legend == "figure",
    )
    return replace(options, sheet=sheet)


def adapt_results(results: ResultTables, settings: FigureSettings) -> ResultTables:
    """Returns the results of the labels and environments that are drawn, under their new names."""
    names: Mapping[str, str] = settings.rename
    labels = _select(settings.labels, list(results.legend), names)
    environments = _select(settings.environments, results.environments, names)

    def adapt_frame(frame: pd.DataFrame) -> pd.DataFrame:
        rows = frame[frame["label"].isin(labels) & frame["env"].isin(environments)]
        label, env = (rows[column].map(lambda n: names.get(n, n)) for column in ("label", "env"))
        return rows.assign(label=label, env=env).reset_index(drop=True)

    styles = {label: results.styles[label] for label in labels}
    surfaces = {
        names.get(env, env): replace(surface, env=names.get(env, env))
        for env, surface in results.surfaces.items()
        if env in environments
    }
    return replace(
        results,
        curves=adapt_frame(results.curves),
        runs=adapt_frame(results.runs),
        styles=replace(results, figure_settings=settings).restyle(styles),
        surfaces=surfaces,
        baselines={names.get(env, env): of_env for env, of_env in results.baselines.items()},
        figure_settings=settings,
        environment_order=tuple(names.get(env, env) for env in environments),
        original=results,
    )


def _select(names: Sequence[str], present: Sequence[str], rename: Mapping[str, str]) -> list[str]:
    """Returns the names that are present, in their own order; each may be an old or a new name."""
    if not names:
        return list(present)
    old_names = {rename.get(name, name): name for name in present}
    selection = [name if name in present else old_names.get(name) for name in names]
    return [name for name in dict.fromkeys(selection) if name is not None]


def check_names(sources: Sequence[Any], settings: FigureSettings, command: str) -> None:
    """Checks that each label and environment of the settings is in some of the sources.

    Args:
      sources: Sources of figures.
      settings: The settings.
      command: What has the settings, at the start of the message.

    Raises:
      UserError: The first name that none of them has.
    """
    tables = [source.runs for source in sources if isinstance(source, ResultTables)]
    columns = ("label", "env", "agent")
    labels, environments, agents = ({n for t in tables for n in t[c].unique()} for c in columns)
    order = [sorted(names, key=natural_order) for names in (labels, environments, agents)]
    try:
        settings.check_names(*order)
    except ConfigError as problem:
        raise UserError(f"{command}: {problem}") from None
