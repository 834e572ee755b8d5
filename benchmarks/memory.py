"""Measures the memory of an iteration of EGGROLL, full-rank ES and GRPO by its number of rollouts.

    python -m benchmarks.memory FOLDER [--curves rollouts answer width rwkv7 ...] [--resident]

A measured number is XLA's own account of the program that `run` compiles for training: arguments,
outputs and temporaries. Nothing is executed, so that sizes beyond the machine's memory can be
measured. `--resident` is a check: it executes two iterations of programs in a fresh process each,
and measures by how much they raise the peak of its resident memory.

Writes a row per program to `memory.csv`, those of the check to `resident.csv`, and draws
`memory.png`. Rows that exist are not measured again. All programs train on `reasoning/countdown`,
with adam. A compiled program's memory does not depend on how far LLVM optimises its code, which is
therefore set to the least.
"""

import argparse
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rl_es import registry
from rl_es.agents._grpo import GRPO
from rl_es.analysis import drawing
from rl_es.analysis.drawing import SHEETS
from rl_es.analysis.speed.tables import format_bytes
from rl_es.config import OLIVE, SKY, VERMILLION, Style, split_traced
from rl_es.interfaces import Learner, Limit
from rl_es.results.manifest import write_manifest
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.unroll import start_particle, time_limit
from rl_es.training.compilation import compile_function, prepare_jax, scalar_leaves
from rl_es.training.learner import Evolution
from rl_es.training.resources import tree_bytes
from rl_es.training.sharding import PopulationSharding
from rl_es.training.task import Task, make_learner

GROUP, EPISODES, CHUNK, MINIBATCH = 16, 32, 128, 64
Settings = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A way to train with a number of rollouts an iteration.

    Attributes:
      agent: the agent's name in the registry.
      settings: number of rollouts -> the agent's settings.
      style: its look in the figure.
      chunk: most members that are evaluated at once; None for all.
    """

    agent: str
    settings: Callable[[int], Settings]
    style: Style
    chunk: int | None = None


def _grpo(minibatch: int | None, line: str, recompute: bool = False) -> Method:
    """Returns GRPO with minibatches of this size, or with four minibatches."""

    def settings(rollouts: int) -> Settings:
        minibatches = 4 if minibatch is None else rollouts // minibatch
        sizes = {"prompts": rollouts // GROUP, "group": GROUP, "minibatches": minibatches}
        return {**sizes, "recompute": recompute}

    return Method("grpo", settings, Style(OLIVE, line, "h"))


def _evolution(agent: str, style: Style, episodes: int = 1, chunk: int | None = None) -> Method:
    """Returns a strategy that perturbs matrices alone, as the sweeps of reasoning have it."""

    def settings(rollouts: int) -> Settings:
        sizes = {"population": rollouts // episodes, "episodes": episodes}
        return {**sizes, "freeze_vectors": True}

    return Method(agent, settings, style, chunk)


METHODS = {
    "GRPO, 4 minibatches": _grpo(None, "solid"),
    "GRPO, 4 minibatches, recomputed": _grpo(None, "long", recompute=True),
    f"GRPO, minibatches of {MINIBATCH}": _grpo(MINIBATCH, "dashed"),
    f"GRPO, minibatches of {MINIBATCH}, recomputed": _grpo(MINIBATCH, "dotted", recompute=True),
    "EGGROLL": _evolution("eggroll", Style(VERMILLION, "solid", "^")),
    f"EGGROLL, {EPISODES} episodes a member": _evolution(
        "eggroll", Style(VERMILLION, "dashed", "^"), episodes=EPISODES
    ),
    f"EGGROLL, in chunks of {CHUNK}": _evolution(
        "eggroll", Style(VERMILLION, "dotted", "^"), chunk=CHUNK
    ),
    "full-rank ES": _evolution("full_rank_es", Style(SKY, "solid", "s")),
    f"full-rank ES, {EPISODES} episodes a member": _evolution(
        "full_rank_es", Style(SKY, "dashed", "s"), episodes=EPISODES
    ),
    f"full-rank ES, in chunks of {CHUNK}": _evolution(
        "full_rank_es", Style(SKY, "dotted", "s"), chunk=CHUNK
    ),
}


@dataclass(frozen=True)
class Point:
    """A program that is measured.

    Attributes:
      method: a key of `METHODS`.
      rollouts: episodes an iteration (R).
      network: the network's name.
      widths: of its layers, as 48x48.
      numbers: of a problem of Countdown; an episode has 7 numbers - 4 steps.
    """

    method: str
    rollouts: int
    network: str = "gru_lm"
    widths: str = "48"
    numbers: int = 3

    def learner(self) -> tuple[Learner, Settings]:
        """Returns the learner, and its traced settings."""
        method = METHODS[self.method]
        widths = tuple(map(int, self.widths.split("x")))
        policy = PolicyConfig(network=self.network, widths=widths, head="deterministic")
        options = {"numbers": self.numbers, "largest": 9, "largest_result": 30, "reward": "steps"}
        task = Task.from_options("reasoning/countdown", options, WrapperConfig(), policy)
        env = task.environment()
        settings = method.settings(self.rollouts)
        config = registry.agents.load(method.agent).Hyperparameters(**settings)
        learner = make_learner(method.agent, config, env, task.make_policy(env), False)
        if method.chunk is not None:
            chunks = max(1, self.rollouts // method.chunk)
            learner = learner.with_placement(None, PopulationSharding(chunks=chunks))
        return learner, split_traced(config)[1]


# The methods of the larger programs, which take minutes to compile.
RECOMPUTED, CHUNKS = (
    f"GRPO, minibatches of {MINIBATCH}, recomputed",
    f"EGGROLL, in chunks of {CHUNK}",
)
AT_ONCE = ("GRPO, 4 minibatches", RECOMPUTED, "EGGROLL", "full-rank ES")
LARGE = (AT_ONCE[0], f"GRPO, minibatches of {MINIBATCH}", RECOMPUTED, "EGGROLL", CHUNKS, AT_ONCE[3])
MIDDLE = 1024  # rollouts, where something else is varied
# The published model of 0.1 billion parameters, and a quarter of its layers.
PUBLISHED, RWKV7 = ("x".join(["768"] * layers) for layers in (12, 3))

CURVES = {
    "rollouts": [Point(method, n) for n in (64, MIDDLE, 16384) for method in METHODS],
    "answer": [Point(method, MIDDLE, numbers=numbers) for numbers in (3, 8) for method in AT_ONCE],
    "width": [
        Point(method, MIDDLE, widths=widths) for widths in ("48", "1024", "256") for method in LARGE
    ],
    "rwkv7": [
        *(Point(method, MIDDLE, "rwkv7", RWKV7) for method in LARGE),
        *(Point(method, 64, "rwkv7", RWKV7) for method in (*AT_ONCE, CHUNKS)),
    ],
    "published": [
        Point(method, 64, "rwkv7", PUBLISHED) for method in ("GRPO, 4 minibatches", "EGGROLL")
    ],
}
RESIDENT = [Point(method, 16384) for method in AT_ONCE]
KEYS = ["method", "rollouts", "network", "widths", "numbers"]
MOST_STEPS = 2**31 - 1  # environment steps of a call, which no iteration reaches


def compile_training(point: Point) -> tuple[Any, Any, Learner]:
    """Returns the compiled training of a point, its initial state's function, and the learner."""
    learner, settings = point.learner()

    def init() -> Any:
        return learner.init(jax.random.key(0), scalar_leaves(settings))

    number = jax.ShapeDtypeStruct((), jnp.int32)
    state = jax.eval_shape(init)
    program = compile_function(learner.advance, state, Limit(number, number), donate=(0,))
    return program, init, learner


def measure(point: Point) -> dict[str, Any]:
    """Returns the row of a point: what XLA says of its program, and what is known from shapes."""
    program, init, learner = compile_training(point)
    state = jax.eval_shape(init)
    policy, env = learner.policy, learner.env  # pyright: ignore[reportAttributeAccessIssue]
    particle = jax.eval_shape(lambda: start_particle(env, policy, jax.random.key(0)))
    at_once, noise, recording, chunk = point.rollouts, 0, 0, METHODS[point.method].chunk
    if isinstance(learner, Evolution):
        at_once = min(at_once, chunk or at_once)
        single = learner.with_placement(None, PopulationSharding())
        noise = tree_bytes(
            jax.eval_shape(lambda s: single.ask(s, single.population_slice(s)).noise, state)
        )
        noise = noise * at_once // point.rollouts
    elif isinstance(learner, GRPO):
        recording = tree_bytes(jax.eval_shape(learner.sample, state, state.key)[1])
    return asdict(point) | {
        "steps": time_limit(env),
        "tokens": particle.observation.action_mask.shape[-1],
        "parameters": policy.parameters.size,
        "peak_bytes": program.memory_bytes,
        "parameter_bytes": tree_bytes(policy.parameters.shapes),
        "state_bytes": tree_bytes(state) - tree_bytes(policy.parameters.shapes),
        "noise_bytes": noise,
        "recording_bytes": recording,
        "policy_state_bytes": at_once * tree_bytes(particle.policy),
        "environment_bytes": at_once * tree_bytes((particle.env, particle.observation)),
        "trace_seconds": round(program.trace_seconds, 1),
        "compile_seconds": round(program.compile_seconds, 1),
    }


def measure_resident(point: Point) -> int:
    """Returns the bytes by which two iterations raise the peak of this process's memory."""
    program, init, _ = compile_training(point)
    limits = [Limit(jnp.int32(generations), jnp.int32(MOST_STEPS)) for generations in (0, 2)]
    # A call without an iteration starts the threads, and does not touch the program's temporaries.
    state, _ = jax.block_until_ready(program.call(jax.jit(init)(), limits[0]))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status_bytes("VmRSS")
    jax.block_until_ready(program.call(state, limits[1]))
    return _status_bytes("VmHWM") - before


def _status_bytes(name: str) -> int:
    """Returns a number of this process's memory in bytes."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return 1024 * int(match[1])


def _measure_resident_apart(point: Point) -> dict[str, Any]:
    """Returns a row with `measure_resident` of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--point", json.dumps(asdict(point))]
    # With a fixed threshold, the allocator returns arrays that are freed to the system.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    return asdict(point) | {"resident_bytes": int(output)}


def read_rows(path: Path) -> pd.DataFrame:
    """Returns the rows that were measured, in the order of the curves."""
    if not path.exists():
        return pd.DataFrame(columns=[*KEYS])
    rows = pd.read_csv(path, dtype={"widths": str})
    order = {key: i for i, key in enumerate(dict.fromkeys(map(_key, _points(CURVES))))}
    places = [order.get(key, len(order)) for key in rows[KEYS].itertuples(index=False, name=None)]
    return rows.assign(place=places).sort_values("place", kind="stable").drop(columns="place")


def _add_rows(
    path: Path, points: Iterable[Point], measure: Callable[[Point], dict[str, Any]]
) -> None:
    """Measures the points that a file lacks; each row is appended when it is measured."""
    for point in points:
        measured = set(read_rows(path)[KEYS].itertuples(index=False, name=None))
        if _key(point) in measured:
            continue
        row = measure(point)
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
        key, number = next(
            (key, row[key]) for key in ("peak_bytes", "resident_bytes") if key in row
        )
        print(f"{point}: {key} {format_bytes(number)}", flush=True)


def _key(point: Point) -> tuple[Any, ...]:
    """Returns the values of the columns `KEYS`."""
    return tuple(asdict(point).values())


def _points(curves: Any) -> Iterator[Point]:
    return (point for curve in curves for point in CURVES[curve])


PANELS = {  # by curve: the column of x, its label, the title
    "rollouts": ("rollouts", "rollouts an iteration", "gru_lm, 1 \u00d7 48"),
    "rwkv7": ("rollouts", "rollouts an iteration", "rwkv7, 3 \u00d7 768"),
    "width": ("parameters", "parameters", "gru_lm, 1,024 rollouts"),
    "answer": ("steps", "steps of an episode", "gru_lm, 1 \u00d7 48, 1,024 rollouts"),
}


@drawing.paper_style()
def draw(rows: pd.DataFrame) -> Figure:
    """Draws peak bytes against rollouts, against parameters, and against the steps of an answer."""
    rows = rows[rows["method"] != "GRPO, 4 minibatches, recomputed"]  # hardly another line
    figure, axes = drawing.panel_grid(SHEETS["page"], len(PANELS), 3.2, 2.5)
    for panel, (curve, (x, label, title)) in zip(axes, PANELS.items(), strict=True):
        keys = set(map(_key, CURVES[curve]))
        of_curve = [key in keys for key in rows[KEYS].itertuples(index=False, name=None)]
        _draw_curve(panel, rows[of_curve], x, title)
        panel.set_xlabel(label)
        panel.set_ylabel("peak memory" if drawing.is_first_in_row(panel) else "")
    styles = {name: method.style for name, method in METHODS.items() if name in set(rows["method"])}
    note = (
        "Memory of a compiled training program on a CPU by XLA's own account: arguments, outputs "
        "and temporaries of an iteration, adam's moments included. Countdown; EGGROLL has rank 1. "
        "Dashed: members of 32 episodes, or minibatches of 64 rollouts. Dotted: members in chunks "
        "of 128, or minibatches of 64 rollouts whose activations are computed again."
    )
    return drawing.finish_figure(figure, drawing.legend_entries(styles), [note])


def _draw_curve(panel: Axes, rows: pd.DataFrame, x: str, title: str) -> None:
    for method, group in rows.groupby("method", sort=False):
        style, group = METHODS[str(method)].style, group.sort_values(x)
        look: dict[str, Any] = dict(color=style.colour, linestyle=style.linestyle)
        panel.plot(group[x], group["peak_bytes"], marker=style.marker, markersize=3, **look)
    panel.set_title(title)
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=12))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bytes(value)))
    if x == "parameters":
        panel.set_xscale("log")
        drawing.set_log_ticks(panel.xaxis)
    else:
        values = sorted(set(rows[x]))
        drawing.set_log2_ticks(panel, values, [f"{value:,}" for value in values])


def main() -> None:
    """Measures what is missing, and draws all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--curves", nargs="+", default=list(CURVES), choices=CURVES)
    parser.add_argument("--resident", action="store_true", help="execute what is small")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    prepare_jax()
    if options.point is not None:
        print(measure_resident(Point(**options.point)))
        return
    if options.folder is None:
        parser.error("FOLDER: name the folder of the results")
    content = {"name": "memory", "curves": {name: len(curve) for name, curve in CURVES.items()}}
    write_manifest(options.folder, "benchmark", content, {}, print)
    path = options.folder / "memory.csv"
    _add_rows(path, _points(options.curves), measure)
    if options.resident:
        _add_rows(options.folder / "resident.csv", RESIDENT, _measure_resident_apart)
    rows = read_rows(path)
    rows.to_csv(path, index=False)
    draw(rows).savefig(options.folder / "memory.png", dpi=200)


if __name__ == "__main__":
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    main()
