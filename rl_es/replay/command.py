"""`replay`: one film, or one page of films, of a policy of a results folder.

Which policies of a results folder are filmed. Nothing here loads jax.

One HTML file that plays films side by side. It holds them itself and needs no network.
"""

from __future__ import annotations

import base64
import html
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from rich.console import Console

from rl_es.errors import MAX_SEED, UserError, brief, check_number, did_you_mean
from rl_es.results import replays
from rl_es.results.files import check_file, folder_of_results, slug, write_text
from rl_es.training.policy_manifest import STAGES, PolicyManifest, list_policies

if TYPE_CHECKING:
    import pandas as pd

    from rl_es.replay.films import Film

ALL = "all"


def all_runs(folder: Path) -> list[PolicyManifest]:
    """Every saved policy of a results folder.

    Raises:
      UserError: there is none.
    """
    folder_of_results(folder)
    policies = [policy for stage in STAGES for policy in list_policies(folder, stage)]
    if not policies:
        raise UserError(f"{folder}: no policies here (no policies/*/final.json)")
    return policies


def final_returns(runs: pd.DataFrame, env: str) -> pd.Series[float]:
    """Mean final return of the finished runs of each label, the highest first."""
    finished_runs = runs[(runs["env"] == env) & (runs["status"] == "finished")]
    means = finished_runs.groupby("label")["final_return"].mean().dropna()
    return means.sort_values(ascending=False, kind="stable")


def shown_runs(
    policies: Iterable[PolicyManifest], env: str, label: str
) -> dict[str, PolicyManifest]:
    """By stage, the policies of a seed: of those with the most stages, the first."""
    seeds: dict[int, dict[str, PolicyManifest]] = defaultdict(dict)
    for policy in policies:
        if (policy.manifest["env"], policy.manifest["label"]) == (env, label):
            seeds[policy.manifest["seed"]][policy.path.stem] = policy
    best = min(seeds, key=lambda seed: (-len(seeds[seed]), seed), default=None)
    return {} if best is None else order_runs(seeds[best])


def order_runs(policies: Mapping[str, PolicyManifest]) -> dict[str, PolicyManifest]:
    """Early before middle before final."""
    return {stage: policies[stage] for stage in STAGES if stage in policies}


def pick_run(
    folder: Path,
    env: str | None,
    label: str | None,
    agent: str | None,
    seed: int,
    stage: str,
) -> tuple[dict[str, PolicyManifest], str]:
    """The policies asked for, by stage, and a remark on the choice, empty for none.

    Args:
      folder: the results folder.
      env: the environment's name or label; None where there is only one.
      label: the agent's label; None for the one with the highest final return.
      agent: the agent's name, where no label is given.
      seed: the run's.
      stage: one of `STAGES`, or `ALL` for those that there are.

    Raises:
      UserError: nothing fits, or more than one run; says what there is.
    """
    policies = all_runs(folder)
    env = _only(folder, policies, env)
    policies = [policy for policy in policies if policy.manifest["env"] == env]
    label, note = _label(folder, policies, env, label, agent)
    stages = _stages(folder, policies, env, label, seed)
    run_name = _run_name(env, label, seed)
    if stage == ALL:
        lacking = [name for name in STAGES if name not in stages]
        if lacking:
            note += f"\nno {' or '.join(lacking)} policy of {run_name}: only the first seed has all"
        return stages, note.strip()
    if stage not in stages:
        stage_names = ", ".join(stages)
        raise UserError(f"{folder}: no {stage} policy of {run_name}; there is: {stage_names}")
    return {stage: stages[stage]}, note


def _run_name(env: str, label: str, seed: int) -> str:
    return f"'{env} / {label} / seed {seed}'"


def _only(folder: Path, policies: Sequence[PolicyManifest], env: str | None) -> str:
    """The environment asked for, or the only one."""
    names = sorted({policy.manifest["env"] for policy in policies})
    if env is None:
        if len(names) > 1:
            raise UserError(f"{folder}: several environments, choose --env: {', '.join(names)}")
        return names[0]
    if env not in names:
        raise UserError(f"{folder}: no policy of environment '{env}'{did_you_mean(env, names)}")
    return env


def _label(
    folder: Path, policies: Sequence[PolicyManifest], env: str, label: str | None, agent: str | None
) -> tuple[str, str]:
    """The label asked for, or else the best, and a remark on the choice."""
    if label is None:
        return _best(folder, policies, env, agent)
    if agent is not None:
        raise UserError("--label and --agent: give one of them")
    labels = {policy.manifest["label"] for policy in policies}
    if label not in labels:
        raise UserError(f"{folder}: no policy of label '{label}'{did_you_mean(label, labels)}")
    return label, ""


def _stages(
    folder: Path, policies: Sequence[PolicyManifest], env: str, label: str, seed: int
) -> dict[str, PolicyManifest]:
    """The policies of a run, by stage."""
    runs: dict[str, dict[str, PolicyManifest]] = defaultdict(dict)
    for policy in policies:
        if (policy.manifest["label"], policy.manifest["seed"]) == (label, seed):
            runs[policy.manifest["run_id"]][policy.path.stem] = policy
    run_name = _run_name(env, label, seed)
    if len(runs) > 1:
        raise UserError(f"{folder}: several runs of {run_name}: {', '.join(sorted(runs))}")
    if not runs:
        raise UserError(
            f"{folder}: no policy of {run_name}{_reason(folder, policies, env, label, seed)}"
        )
    (stages,) = runs.values()
    return order_runs(stages)


def _best(
    folder: Path, policies: Sequence[PolicyManifest], env: str, agent: str | None
) -> tuple[str, str]:
    """The label with the highest final return of an environment, of one agent or of all."""
    agents = {policy.manifest["label"]: policy.manifest["agent"] for policy in policies}
    if agent is not None:
        if agent not in agents.values():
            hint = did_you_mean(agent, set(agents.values()))
            raise UserError(f"{folder}: no policy of agent '{agent}'{hint}")
        agents = {label: name for label, name in agents.items() if name == agent}
    if len(agents) == 1:
        return next(iter(agents)), ""
    means = final_returns(_runs(folder), env)
    means = means[means.index.isin(list(agents))]
    if means.empty:
        raise UserError(f"{folder}: no run is finished, choose --label: {', '.join(agents)}")
    best = str(means.index[0])
    return best, f"{env}: {best}, the highest mean final return ({means.iloc[0]:.1f})"


def _reason(
    folder: Path, policies: Sequence[PolicyManifest], env: str, label: str, seed: int
) -> str:
    """Why a run has no policy: its status, or the seeds that there are."""
    if any(folder.glob("cells/*.parquet")):
        runs = _runs(folder)
        run_rows = runs[(runs["env"] == env) & (runs["label"] == label) & (runs["seed"] == seed)]
        if len(run_rows) and run_rows["status"].iloc[0] != "finished":
            why = run_rows["reason"].iloc[0]
            note = f" ({why})" if isinstance(why, str) else ""
            return f": it is {run_rows['status'].iloc[0]}{note}"
    seeds = sorted(
        {policy.manifest["seed"] for policy in policies if policy.manifest["label"] == label}
    )
    return f"; seeds: {', '.join(map(str, seeds))}"


def _runs(folder: Path) -> pd.DataFrame:
    from rl_es.results import tables

    return tables.load_tables(folder)[1]


def write_page(path: Path, films: Sequence[Film]) -> None:
    """Writes the films of one run as a page.

    Raises:
      UserError: imageio-ffmpeg is not installed.
    """
    template = Template(resources.files("rl_es.replay").joinpath("page.html").read_text())
    title = html.escape(films[0].policy.title)
    write_text(path, template.substitute(title=title, films="\n".join(map(_figure, films))))


def _figure(film: Film) -> str:
    from rl_es.replay.films import write_mp4

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_mp4(path, film.frames(), film.painter.size, film.pace.frames_per_second)
        video = base64.b64encode(path.read_bytes()).decode()
    env_steps = film.policy.manifest.get("env_steps")
    after = f", after {env_steps:,} steps of training" if isinstance(env_steps, int) else ""
    width, height = film.painter.size
    return (
        f'<figure><video muted playsinline preload="auto" width="{width}" height="{height}" '
        f'src="data:video/mp4;base64,{video}"></video>'
        f"<figcaption><b>{film.stage}</b>{after}: return {film.total:.1f} in {film.steps} steps, "
        f"{film.pace}</figcaption></figure>"
    )


FORMATS = ("mp4", "gif", "html")
LEAST, MOST = 64, 4096  # pixels in a direction
SIZE = 320, 240


def run_replay(
    folder: Path,
    env: str | None = None,
    label: str | None = None,
    agent: str | None = None,
    seed: int = 0,
    stage: str | None = None,
    episode_seed: int = 0,
    format: str | None = None,
    size: str = "320x240",
    out: Path | None = None,
) -> Path:
    """Writes the film; returns its file.

    Args:
      folder: the results folder.
      env: the environment's name or label; None where there is only one.
      label: the agent's label; None for the best.
      agent: the agent's name, where no label is given.
      seed: the run's.
      stage: early, middle, final or all; None: all of a page, else final.
      episode_seed: of the episode.
      format: one of `FORMATS`; None: what the file's name says, else mp4.
      size: of each picture, such as 320x240.
      out: the file; None: one in `replays` of the results folder.

    Raises:
      UserError: nothing fits; says what would.
    """
    pixels, kind = _pixels(size), _format(format, out)
    check_number("--seed", seed, 0, MAX_SEED)
    check_number("--episode-seed", episode_seed, 0, MAX_SEED)
    stage = stage or (ALL if kind == "html" else "final")
    policies, note = pick_run(folder, env, label, agent, seed, stage)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if note:
        console.print(note)
    if out is None:
        out = (
            folder
            / replays.FOLDER
            / _name(next(iter(policies.values())), stage, episode_seed, kind)
        )
    _write(out, kind, policies, pixels, episode_seed, console)
    return out


def _write(
    out: Path,
    kind: str,
    policies: dict[str, PolicyManifest],
    size: tuple[int, int],
    episode_seed: int,
    console: Console,
) -> None:
    from rl_es.replay.films import (
        check_encoder,
        frame_rate,
        make_films,
        side_by_side,
        write_gif,
        write_mp4,
    )

    if kind != "gif":
        check_encoder()
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    with ExitStack() as stack:
        films = make_films(PolicyLoader(), policies, size, episode_seed, stack)
        rate = frame_rate(films)
        if kind == "html":
            write_page(out, films)
        elif kind == "gif":
            write_gif(out, list(side_by_side(films)), rate)
        else:
            width_and_height = size[0] * len(films), size[1]
            write_mp4(out, side_by_side(films), width_and_height, rate)
        for film in films:
            text = f"{film.stage}: return {film.total:.1f} in {film.steps} steps"
            console.print(f"{text}, {film.pace}")


def _pixels(size: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    width, height = map(int, match.groups()) if match else (0, 0)
    fits = all(LEAST <= side <= MOST and side % 2 == 0 for side in (width, height))
    if not fits:
        raise UserError(
            f"--size: must be two even numbers of {LEAST} to {MOST}, such as 320x240; "
            f"is '{brief(size)}'"
        )
    return width, height


def _format(format: str | None, out: Path | None) -> str:
    if out is None:
        return format or "mp4"
    check_file(out)
    suffix = out.suffix.lower().removeprefix(".")
    if format is None and suffix not in FORMATS:
        raise UserError(f"{out}: --out must end in .{', .'.join(FORMATS)}")
    if format is not None and suffix != format:
        raise UserError(f"{out}: --out must end in .{format}, or --format be left out")
    return suffix


def _name(policy: PolicyManifest, stage: str, episode_seed: int, kind: str) -> str:
    manifest = policy.manifest
    parts = [slug(manifest["env"]), slug(manifest["label"]), f"seed{manifest['seed']}", stage]
    if episode_seed:
        parts.append(f"episode{episode_seed}")
    return f"{'-'.join(parts)}.{kind}"


def open_in_browser(path: Path) -> None:
    """Opens a file where there is a screen, else says where it is."""
    import os
    import webbrowser

    screen = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if not screen or not webbrowser.open(path.resolve().as_uri()):
        print(f"no browser to open it in; it is {path.resolve()}", file=sys.stderr)  # noqa: T201
