"""What follows a run, or is asked for alone: films, then tables, figures and pages."""

import sys
from pathlib import Path

from rl_es.errors import UserError


def write_replays(folder: Path) -> None:
    """Makes the films of a folder that has trained policies, and says where they are listed.

    Raises:
      UserError: the folder holds no results, or damaged ones.
    """
    if not (folder / "policies").is_dir():
        return
    from rl_es.analysis import results
    from rl_es.replay import report

    results.load(folder)  # what is damaged is said before anything is written
    try:
        path = report.write(folder, lambda text: print(text, file=sys.stderr))
    except UserError as error:  # tables and figures are made all the same
        print(f"no replays: {error}", file=sys.stderr)
        return
    if path is not None:
        print(path)


def write_report(folder: Path) -> None:
    """Writes tables, figures and pages, and says where they are."""
    lacking: list[str] = []
    if (folder / "workloads").is_dir():
        from rl_es.analysis.speed import report

        written = report.write(folder)
    elif (folder / "estimates").is_dir():
        from rl_es.analysis.gradients import report

        written = report.write(folder)
    else:
        from rl_es.analysis import html, report

        lacking = html.lacking()
        written = report.write(folder, lambda text: print(f"warning: {text}", file=sys.stderr))
    for path in written:
        print(path)
    if lacking:
        print(f"no report.html: needs {' and '.join(lacking)} (pip install 'rl_es[report]')")
