"""`replay`: one film, one page of films, or one text, of a policy of a results folder.

A page is one HTML file that plays films side by side. It holds them itself and needs no network.
Nothing here loads jax before a film is made.
"""

from __future__ import annotations

import base64
import html
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from rich.console import Console

from rl_es import registry
from rl_es.errors import MAX_SEED, UserError, brief, check_number
from rl_es.results import replays
from rl_es.results.files import check_file, folder_of_results, slug, write_text
from rl_es.training.policy_manifest import STAGES, PolicyManifest, filter_policies, list_policies

if TYPE_CHECKING:
    import pandas as pd

    from rl_es.replay.films import Film
    from rl_es.replay.text_samples import TextSample

ALL = "all"
Stages = dict[
    str, PolicyManifest
]  # the policies of a run by stage: early before middle before final


def all_policies(folder: Path) -> list[PolicyManifest]:
    """Lists every saved policy of a results folder, stage by stage.

    Raises:
      UserError: there is none.
    """
    folder_of_results(folder)
    policies = [policy for stage in STAGES for policy in list_policies(folder, stage)]
    if not policies:
        raise UserError(f"{folder}: no policies here (no policies/*/final.json)")
    return policies


def final_returns(runs: pd.DataFrame, env: str) -> pd.Series[float]:
    """Returns the mean final return of the finished runs of each label, the highest first."""
    finished_runs = runs[(runs["env"] == env) & (runs["status"] == "finished")]
    means = finished_runs.groupby("label")["final_return"].mean().dropna()
    return means.sort_values(ascending=False, kind="stable")


def best_covered_run(policies: Iterable[PolicyManifest], env: str, label: str | None) -> Stages:
    """Returns the policies of the run with the most stages; of several, of the first seed."""
    seeds: dict[int, Stages] = {}
    for policy in policies:
        if (policy.manifest["env"], policy.manifest["label"]) == (env, label):
            seeds.setdefault(policy.manifest["seed"], {})[policy.path.stem] = policy
    return min(seeds.items(), key=lambda item: (-len(item[1]), item[0]), default=(0, {}))[1]


def pick_run(
    folder: Path, env: str | None, label: str | None, agent: str | None, seed: int, stage: str
) -> tuple[Stages, str]:
    """Returns the policies of one run by stage, and a remark on the choice, empty for none.

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
    policies, message, note = all_policies(folder), f"{folder}: no policy", ""
    names = sorted({policy.manifest["env"] for policy in policies})
    if env is None and len(names) > 1:
        raise UserError(f"{folder}: several environments, choose --env: {', '.join(names)}")
    environment = names[0] if env is None else env
    policies = filter_policies(policies, "env", environment, message)
    if label is None:
        if agent is not None:
            policies = filter_policies(policies, "agent", agent, message)
        label, note = _best_label(folder, policies, environment)
    elif agent is not None:
        raise UserError("--label and --agent: give one of them")
    policies = filter_policies(policies, "label", label, message)
    name = f"'{environment} / {label} / seed {seed}'"
    of_seed = [policy for policy in policies if policy.manifest["seed"] == seed]
    run_ids = sorted({policy.manifest["run_id"] for policy in of_seed})
    if len(run_ids) > 1:
        raise UserError(f"{folder}: several runs of {name}: {', '.join(run_ids)}")
    if not of_seed:
        raise UserError(f"{message} of {name}{_reason(folder, policies, environment, label, seed)}")
    stages = {policy.path.stem: policy for policy in of_seed}
    if stage == ALL:
        if lacking := [stage for stage in STAGES if stage not in stages]:
            note += f"\nno {' or '.join(lacking)} policy of {name}: only the first seed has all"
        return stages, note.strip()
    if stage not in stages:
        raise UserError(f"{folder}: no {stage} policy of {name}; there is: {', '.join(stages)}")
    return {stage: stages[stage]}, note


def _best_label(folder: Path, policies: Sequence[PolicyManifest], env: str) -> tuple[str, str]:
    """Returns the label with the highest final return, and a remark if there are several."""
    labels = [*dict.fromkeys(policy.manifest["label"] for policy in policies)]
    if len(labels) == 1:
        return labels[0], ""
    means = final_returns(_runs(folder), env)
    means = means[means.index.isin(labels)]
    if means.empty:
        raise UserError(f"{folder}: no run is finished, choose --label: {', '.join(labels)}")
    best = str(means.index[0])
    return best, f"{env}: {best}, the highest mean final return ({means.iloc[0]:.1f})"


def _reason(
    folder: Path, policies: Sequence[PolicyManifest], env: str, label: str, seed: int
) -> str:
    """Returns why a run has no policy: its status, or the seeds that there are."""
    if any(folder.glob("cells/*.parquet")):
        runs = _runs(folder)
        run = runs[(runs["env"] == env) & (runs["label"] == label) & (runs["seed"] == seed)]
        if len(run) and run["status"].iloc[0] != "finished":
            why = run["reason"].iloc[0]
            return f": it is {run['status'].iloc[0]}" + (
                f" ({why})" if isinstance(why, str) else ""
            )
    return f"; seeds: {', '.join(map(str, sorted({p.manifest['seed'] for p in policies})))}"


def _runs(folder: Path) -> pd.DataFrame:
    from rl_es.results import tables

    return tables.load_tables(folder)[1]


def write_page(path: Path, films: Sequence[Film]) -> None:
    """Writes the films of one run as a page.

    Raises:
      UserError: imageio-ffmpeg is not installed.
    """
    template = Template(
        resources.files("rl_es.replay").joinpath("page.html").read_text(encoding="utf-8")
    )
    title = html.escape(films[0].policy.title)
    write_text(path, template.substitute(title=title, films="\n".join(map(_figure, films))))


def _figure(film: Film) -> str:
    """Returns the HTML of one film, which holds its video."""
    from rl_es.replay.films import write_mp4

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_mp4(path, film.frames(), film.painter.size, film.pace.frames_per_second)
        video = base64.b64encode(path.read_bytes()).decode()
    env_steps = film.policy.manifest.get("env_steps")
    after = ""
    if isinstance(env_steps, int):
        after = f", after {env_steps:,} steps of training" if env_steps else ", before any training"
    width, height = film.painter.size
    return (
        f'<figure><video muted playsinline preload="auto" width="{width}" height="{height}" '
        f'src="data:video/mp4;base64,{video}"></video>'
        f"<figcaption><b>{film.stage}</b>{after}: return {film.total:.1f} in {film.steps} steps, "
        f"{film.pace}</figcaption></figure>"
    )


FORMATS = ("mp4", "gif", "html", "txt")
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
    """Writes the film or the text; returns its file.

    Args:
      folder: the results folder.
      env: the environment's name or label; None where there is only one.
      label: the agent's label; None for the best.
      agent: the agent's name, where no label is given.
      seed: the run's.
      stage: early, middle, final or all; None: all of a page, else final.
      episode_seed: of the episode.
      format: one of `FORMATS`; None: what the file's name says, else txt where policies write text,
        else mp4.
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
    first = next(iter(policies.values()))
    is_text = registry.replays_as_text(first.environment)
    kind = kind or ("txt" if is_text else "mp4")
    if kind == "txt" and not is_text:
        raise UserError(f"{first.environment} generates no text: choose mp4, gif or html, not txt")
    if out is None:
        manifest = first.manifest
        parts = [slug(manifest["env"]), slug(manifest["label"]), f"seed{seed}", stage]
        parts += [f"episode{episode_seed}"] if episode_seed else []
        out = folder / replays.FOLDER / f"{'-'.join(parts)}.{kind}"
    if kind == "txt":
        for sample in _write_texts(out, policies, episode_seed):
            console.print(f"{sample.title}\n{sample.text}\n")
        return out
    for film in _write(out, kind, policies, pixels, episode_seed):
        text = f"{film.stage}: return {film.total:.1f} in {film.steps} steps"
        console.print(f"{text}, {film.pace}")
    return out


def _write_texts(out: Path, policies: Stages, episode_seed: int) -> list[TextSample]:
    """Samples a text of each policy, and writes all into one file; returns them."""
    from rl_es.replay.text_samples import sample_texts, write_samples
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    samples = sample_texts(PolicyLoader(), policies, episode_seed)
    write_samples(out, samples)
    return samples


def _write(
    out: Path, kind: str, policies: Stages, size: tuple[int, int], episode_seed: int
) -> list[Film]:
    """Makes films and writes them into one file; returns the films."""
    from rl_es.replay import films

    if kind != "gif":
        films.check_encoder()
    from rl_es.training.compilation import prepare_jax
    from rl_es.training.policies import PolicyLoader

    prepare_jax()
    with ExitStack() as stack:
        parts = films.make_films(PolicyLoader(), policies, size, (episode_seed,), stack)
        if kind == "html":
            write_page(out, parts)
        else:
            frames, rate = films.side_by_side(parts)
            if kind == "gif":
                films.write_gif(out, list(frames), rate)
            else:
                films.write_mp4(out, frames, (size[0] * len(parts), size[1]), rate)
    return parts


def _pixels(size: str) -> tuple[int, int]:
    """Returns width and height of `--size`."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    width, height = map(int, match.groups()) if match else (0, 0)
    if not all(LEAST <= side <= MOST and side % 2 == 0 for side in (width, height)):
        raise UserError(
            f"--size: must be two even numbers of {LEAST} to {MOST}, such as 320x240; "
            f"is '{brief(size)}'"
        )
    return width, height


def _format(format: str | None, out: Path | None) -> str | None:
    """Returns the format that `--format` or the file's name says, else None."""
    if out is None:
        return format
    check_file(out)
    suffix = out.suffix.lower().removeprefix(".")
    if format is None and suffix not in FORMATS:
        raise UserError(f"{out}: --out must end in .{', .'.join(FORMATS)}")
    if format is not None and suffix != format:
        raise UserError(f"{out}: --out must end in .{format}, or --format be left out")
    return suffix


def open_in_browser(path: Path) -> None:
    """Opens a file where there is a screen, else says where it is."""
    import webbrowser

    screen = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if not screen or not webbrowser.open(path.resolve().as_uri()):
        print(f"no browser to open it in; it is {path.resolve()}", file=sys.stderr)  # noqa: T201
