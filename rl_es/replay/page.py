"""One HTML file that plays films side by side. It holds them itself and needs no network."""

import base64
import html
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from rl_es.files.whole import write_text
from rl_es.replay.encoding import write_mp4
from rl_es.replay.films import Film


def write_page(path: Path, shown: Sequence[Film]) -> None:
    """Writes the films of one run as a page.

    Raises:
      UserError: imageio-ffmpeg is not installed.
    """
    template = Template(resources.files("rl_es.replay").joinpath("page.html").read_text())
    title = html.escape(shown[0].policy.title)
    write_text(path, template.substitute(title=title, films="\n".join(map(_figure, shown))))


def _figure(film: Film) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_mp4(path, film.frames(), film.painter.size, film.pace.frames_per_second)
        video = base64.b64encode(path.read_bytes()).decode()
    trained = film.policy.manifest.get("env_steps")
    after = f", after {trained:,} steps of training" if isinstance(trained, int) else ""
    width, height = film.painter.size
    return (
        f'<figure><video muted playsinline preload="auto" width="{width}" height="{height}" '
        f'src="data:video/mp4;base64,{video}"></video>'
        f"<figcaption><b>{film.stage}</b>{after}: return {film.total:.1f} in {film.steps} steps, "
        f"{film.pace}</figcaption></figure>"
    )
