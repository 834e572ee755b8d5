"""Tries the newest libraries that the dependencies allow: `python -m tests.newest --python PYTHON`.

The wheel of this tree is installed without `constraints.txt` into an environment in a temporary
folder. There the command `rl_es` is asked for its version and a diagnosis, runs a short quickstart,
reports it and checks an environment. Its curves are compared with those that the environment of
this process, usually `.venv`, computes by the same command.

Other libraries compile to other orders of additions, so returns differ by rounding. A rounding
difference grows with each step of an episode and with each generation. The evaluation before
training has not been through a generation: each may differ by `FIRST` of the range of its
environment's returns. Of later ones, the means over all agents and seeds may differ by `LATER`.
Measured (jax 0.10.2 and numpy 2.5.5 against jax 0.9.0 and numpy 2.4.6): 4e-7 and 5e-3 at most,
where single runs differed by up to 2e-2 within five generations.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
SOURCES = ("rl_es", "agents", "envs", "sweeps", "pyproject.toml", "README.md", "LICENSE")
LIBRARIES = ("jax", "flax", "numpy", "mujoco", "brax", "gymnax")
SWEEP = (
    *("run", "quickstart", "--no-replays", "--set", "seeds=2", "--set", "budget.generations=5"),
    *("--set", "evaluation={points: 5, episodes: 16}"),
)
VERSIONS = (
    "import importlib.metadata, platform; print('python', platform.python_version(), "
    f"*(f'{{n}} {{importlib.metadata.version(n)}}' for n in {LIBRARIES!r}))"
)
FIRST, LATER = 1e-3, 0.05


def copy_sources(folder: Path) -> None:
    """Copies what a wheel is made of into a new folder: pip builds in the folder of the sources."""
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    """Returns what a command prints in a folder.

    Raises:
      SystemExit: the command fails; its output is in the message.
    """
    words = [str(word) for word in command]
    print("$", shlex.join(words), flush=True)
    process = subprocess.run(
        words, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise SystemExit(f"{process.stdout}{process.stderr}exit code {process.returncode}")
    return process.stdout


def difference_table(pinned: pd.DataFrame, newest: pd.DataFrame) -> pd.DataFrame:
    """Returns how far two tables of curves are from each other, a row per (env, evaluation).

    Args:
      pinned: Table of curves; its rows must be those of the other by env, label, seed, generation.
      newest: The other.

    Returns:
      Columns env, generation, largest (difference of two evaluations) and mean (difference of the
      means over labels and seeds), both as shares of the range of the environment's returns.
    """
    keys = ["env", "label", "seed", "generation"]
    both = pinned.merge(newest, on=keys, how="outer", validate="1:1", suffixes=("", "_newest"))
    both["difference"] = both["return_mean_newest"] - both["return_mean"]
    if both["difference"].isna().any():
        raise SystemExit("the two tables have different rows, or returns that are not finite")
    grouped = both.groupby("env")["return_mean"]
    both["difference"] /= grouped.transform("max") - grouped.transform("min")
    rows = both.groupby(["env", "generation"])["difference"]
    return rows.agg(largest=lambda d: d.abs().max(), mean=lambda d: abs(d.mean())).reset_index()


def faults(table: pd.DataFrame) -> list[str]:
    """Returns the rows of a table of differences that are too large, as text."""
    bad = table[((table["generation"] == 0) & (table["largest"] > FIRST)) | (table["mean"] > LATER)]
    return [f"{r.env}, generation {r.generation}: {r.largest:.2g}" for r in bad.itertuples()]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.newest", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="of the scratch environment")
    python = parser.parse_args().python
    # Neither the tree itself nor a user's constraints may reach the scratch environment.
    environment = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_sources(folder / "sources")
        run([python, "-m", "venv", "env"], folder, environment)
        programs = folder / "env" / "bin"
        pip = [programs / "python", "-m", "pip", "-q"]
        run([*pip, "wheel", "--no-deps", "-w", ".", "./sources"], folder, environment)
        (wheel,) = folder.glob("*.whl")
        run([*pip, "install", f"{wheel}[report]"], folder, environment)
        print(run([programs / "python", "-c", VERSIONS], folder, environment))
        rl_es = programs / "rl_es"
        print(run([rl_es, "--version"], folder, environment))
        print(run([rl_es, "doctor", "--out", "newest"], folder, environment))
        run([rl_es, *SWEEP, "--out", "newest"], folder, environment)
        run([rl_es, "report", "newest"], folder, environment)
        print(run([rl_es, "check", "CartPole-v1"], folder, environment))
        tree = {**os.environ, "PYTHONPATH": str(ROOT)}
        print(run([sys.executable, "-c", VERSIONS], folder, tree))
        run([sys.executable, "-m", "rl_es", *SWEEP, "--out", "pinned"], folder, tree)
        paths = [folder / name / "curves.parquet" for name in ("pinned", "newest")]
        table = difference_table(*map(pd.read_parquet, paths))
    print(table.to_string(index=False, float_format="{:.1e}".format))
    if lines := faults(table):
        raise SystemExit("\n".join(["too far from the pinned environment:", *lines]))


if __name__ == "__main__":
    main()
