"""`replay`: one film, or one page of films, of a policy of a results folder."""

import re
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from rl_es import filmed
from rl_es.errors import MOST_SEED, UserError, brief, check_number
from rl_es.files.naming import check_file, slug
from rl_es.replay import choosing
from rl_es.replay.choosing import ALL
from rl_es.training.saved import Saved

FORMATS = ("mp4", "gif", "html")
LEAST, MOST = 64, 4096  # pixels in a direction
SIZE = 320, 240


def run(
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
    check_number("--seed", seed, 0, MOST_SEED)
    check_number("--episode-seed", episode_seed, 0, MOST_SEED)
    stage = stage or (ALL if kind == "html" else "final")
    policies, said = choosing.pick(folder, env, label, agent, seed, stage)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if said:
        console.print(said)
    if out is None:
        out = (
            folder / filmed.FOLDER / _name(next(iter(policies.values())), stage, episode_seed, kind)
        )
    _write(out, kind, policies, pixels, episode_seed, console)
    return out


def _write(
    out: Path,
    kind: str,
    policies: dict[str, Saved],
    size: tuple[int, int],
    episode_seed: int,
    console: Console,
) -> None:
    from rl_es.replay.encoding import check_encoder, write_gif, write_mp4

    if kind != "gif":
        check_encoder()
    from rl_es.replay.films import films, frame_rate, side_by_side
    from rl_es.replay.page import write_page
    from rl_es.training.platform import prepare
    from rl_es.training.policies import Loader

    prepare()
    with ExitStack() as kept:
        shown = films(Loader(), policies, size, episode_seed, kept)
        rate = frame_rate(shown)
        if kind == "html":
            write_page(out, shown)
        elif kind == "gif":
            write_gif(out, list(side_by_side(shown)), rate)
        else:
            whole = size[0] * len(shown), size[1]
            write_mp4(out, side_by_side(shown), whole, rate)
        for film in shown:
            told = f"{film.stage}: return {film.total:.1f} in {film.steps} steps"
            console.print(f"{told}, {film.pace}")


def _pixels(size: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    width, height = map(int, found.groups()) if found else (0, 0)
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
    named = out.suffix.lower().removeprefix(".")
    if format is None and named not in FORMATS:
        raise UserError(f"{out}: --out must end in .{', .'.join(FORMATS)}")
    if format is not None and named != format:
        raise UserError(f"{out}: --out must end in .{format}, or --format be left out")
    return named


def _name(policy: Saved, stage: str, episode_seed: int, kind: str) -> str:
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
