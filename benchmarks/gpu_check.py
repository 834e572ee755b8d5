"""Checks the suite on an NVIDIA GPU in at most nine minutes, and writes what it measures.

    python -m benchmarks.gpu_check [--minutes 9] [--out results/reference/gpu] [--steps speed ant]

It runs these steps, each as a process of its own:

  doctor    packages, devices, a short training
  tests     a part of the tests, on the device: estimators, rollouts, float32 products
  speed     `sweeps/speed/gpu.yaml`: agents as a share of pure batch inference
  ant       a generation on brax's ant, beside inference and the bare environment
  products  the forms of a low-rank product (`benchmarks.products`)
  cartpole  `sweeps/paper/cartpole.yaml`, for as long as is left

Each step has a share of the time that is left; what it does not use passes on to the next ones. A
step that is not through by then is interrupted, keeps what it has finished, and reports it. A step
that fails does not end the others; the exit code is then 1. `index.md` in the output folder is
written anew after each step, and `logs/` has what each step printed. The same command goes on with
the measurements that are left, if `--out` still has the others.

`JAX_PLATFORMS=cpu` with `--scale small` tries every step on a CPU, on tiny networks.
"""

import argparse
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
PROGRAM = str(ROOT / "run_benchmark.py")
GRACE = 15.0  # seconds in which a step that is interrupted has to end
REPORT = 25.0  # seconds of a step's time that are left for its report
CLOSING = 10.0  # seconds that no step gets
DEVICE_TESTS = (
    "tests/training/test_accelerator.py",
    "tests/rollout/test_unroll.py",
    "tests/training/test_persistent.py",
    "tests/evolution/test_noise_memory.py",
)
ORIGIN = (
    "import json; from rl_es.results import manifest as m; "
    "print(json.dumps({'device': m.device_name(), 'processor': m.processor_name(), "
    "'revision': m.git_revision(), 'versions': m.package_versions()}))"
)
# What a sweep's folder has for readers; the rest is what a later start needs.
TABLES = ("*.csv", "curves.parquet", "manifest.json", "figures/*.png")
TINY_SWEEP = (
    "seeds=2",
    "defaults.budget={generations: 4}",
    "defaults.evaluation={points: 2, episodes: 2}",
    "defaults.policy={widths: [8, 8]}",
    "agents=[{name: eggroll, with: {population: 16, rank: 1}}]",
    "environments=[{name: CartPole-v1, episode_length: 20}]",
)
TINY_SPEED = (
    "rounds=1",
    "min_seconds=0",
    "workloads={environments: [{name: CartPole-v1, episode_length: 10}], widths: [[8, 8]], "
    "populations: [16]}",
    "contestants=[bare, inference, {name: eggroll, with: {rank: 1}}, full_rank_es, "
    "{name: inference, label: inference bfloat16, precision: bfloat16}]",
)
ANT = (
    "name=ant",
    "description=a generation on brax's ant, spring backend, cut after 100 steps",
    "rounds=3",
    "compile=false",
    "workloads={environments: [{name: brax/ant, options: {backend: spring}, episode_length: 100}], "
    "widths: [[256, 256, 256]], populations: [2048]}",
    "contestants=[bare, inference, {name: eggroll, with: {rank: 1}}]",
)
TINY_ANT = (
    *("name=ant", "rounds=1", "min_seconds=0", "compile=false"),
    "workloads={environments: [{name: brax/inverted_pendulum, options: {backend: spring}, "
    "episode_length: 4}], widths: [[8, 8]], populations: [16]}",
    "contestants=[bare, {name: eggroll, with: {rank: 1}}]",
)

FigureReader = Callable[[str, Path], str]  # (output, results folder) -> the step's main figure


@dataclass(frozen=True)
class Step:
    """A part of the check.

    Attributes:
      name: unique.
      command: the words after the interpreter.
      weight: its share of the time that is left is its weight over those of all steps left.
      figure: reads the step's main figure.
      folder: results that it goes on with, and reports when it is interrupted; None without.
      tables: where a sweep's tables are copied for readers; None where `folder` is for readers.
      variables: environment variables that it gets besides.
    """

    name: str
    command: tuple[str, ...]
    weight: float
    figure: FigureReader
    folder: Path | None = None
    tables: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
      step: its name.
      status: passed; partial, if its time was over; or failed.
      seconds: that it took, its report included.
      figure: its main figure, or why it failed.
      command: that runs it alone.
    """

    step: str
    status: str
    seconds: float
    figure: str
    command: str


def read_last_line(output: str, folder: Path) -> str:
    """Returns the last line that a step printed."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "").strip()


def read_test_counts(output: str, folder: Path) -> str:
    """Returns pytest's counts."""
    counts = re.findall(r"^=*\s*((?:\d+ \w+,? ?)+) in [\d.]+s", output, re.MULTILINE)
    return counts[-1].strip() if counts else read_last_line(output, folder)


def read_products(output: str, folder: Path) -> str:
    """Returns the fastest form of a product at each width and rank."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines()
            if line.startswith("|")]  # fmt: skip
    if len(rows) < 3:
        return read_last_line(output, folder)
    (_, *forms), _, *shares = rows
    best = [max(zip(map(float, row[1:]), forms, strict=True)) for row in shares]
    return "; ".join(
        f"{row[0]}: {form}, {share:.0f} %" for row, (share, form) in zip(shares, best, strict=True)
    )


def read_shares(output: str, folder: Path) -> str:
    """Returns the range of the agents' shares of inference, from a speed folder."""
    with (folder / "speed.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "generation"]
    shares: dict[str, list[float]] = {}
    for row in rows:
        if row["contestant"] not in ("bare", "inference") and row["share"]:
            shares.setdefault(row["contestant"], []).append(float(row["share"]))
    if not shares:
        rates = {row["contestant"]: row["steps_per_second"] for row in rows}
        return "; ".join(
            f"{name}: {float(rate):,.0f} steps/s" for name, rate in rates.items() if rate
        )
    return "of inference: " + "; ".join(
        f"{name} {min(values):.0f} to {max(values):.0f} %" for name, values in shares.items()
    )


def read_runs(output: str, folder: Path) -> str:
    """Returns how far a sweep has come, and how fast it was, from its table of runs."""
    with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = sum(int(row["env_steps"]) for row in rows)
    seconds = sum(float(row["wall_seconds"]) / int(row["lanes"]) for row in rows)
    finished = sum(row["status"] == "finished" for row in rows)
    rate = steps / seconds if seconds else 0.0
    return f"{finished} of {len(rows)} runs finished, {steps:,} steps, {rate:,.0f} a second"


def make_steps(out: Path, work: Path, small: bool, on_cpu: bool) -> list[Step]:
    """Returns the steps in their order.

    Args:
      out: the folder for readers.
      work: the folder of what sweeps need to go on.
      small: tiny networks, for a trial.
      on_cpu: whether the tests run on the CPU.
    """

    def command(verb: str, file: str, folder: Path, settings: Sequence[str]) -> tuple[str, ...]:
        overrides = [word for setting in settings for word in ("--set", setting)]
        return (PROGRAM, verb, f"sweeps/{file}", "--out", str(folder), "--quiet", *overrides)

    # Several processes of pytest share the GPU; jax would give the first one most of its memory.
    variables = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if not on_cpu:
        variables["JAX_PLATFORMS"] = "cuda,cpu"  # conftest.py would take the CPU alone
    tests = ("-n0", "-k", "float32", DEVICE_TESTS[0]) if small else ("-n4", *DEVICE_TESTS)
    pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests)
    products = ("--population", "8192", "--widths", "256", "--ranks", "1", "4", "--rounds", "5")
    if small:
        products = ("--population", "16", "--widths", "16", "--ranks", "1", "--rounds", "1")
    speed, ant, cartpole = out / "speed", out / "ant", work / "cartpole"
    return [
        Step("doctor", (PROGRAM, "doctor", "--out", str(work)), 2, read_last_line),
        Step("tests", pytest, 3, read_test_counts, variables=variables),
        Step(
            "speed",
            command("speed", "speed/gpu.yaml", speed, TINY_SPEED if small else ()),
            6,
            read_shares,
            speed,
        ),
        Step(
            "ant",
            command("speed", "speed/brax.yaml", ant, TINY_ANT if small else ANT),
            2,
            read_shares,
            ant,
        ),
        Step("products", ("-m", "benchmarks.products", *products), 1, read_products),
        Step(
            "cartpole",
            (
                *command("run", "paper/cartpole.yaml", cartpole, TINY_SWEEP if small else ()),
                "--no-replays",
            ),
            4,
            read_runs,
            cartpole,
            out / "cartpole",
        ),
    ]


def call(
    command: Sequence[str], output: IO[bytes], seconds: float, variables: Mapping[str, str]
) -> int | None:
    """Runs a command, and interrupts it after `seconds`.

    Returns:
      Its exit code; None if it was interrupted.
    """
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupts a process and those that it started; ends them where that takes too long."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_step(step: Step, seconds: float, log: Path) -> Outcome:
    """Runs a step for at most about `seconds`, and what makes its tables if it is interrupted."""
    start = time.monotonic()
    report = 0.0 if step.folder is None else min(REPORT, seconds / 3)
    with log.open("wb") as output:
        code = call(
            step.command, output, seconds - min(GRACE, seconds / 4) - report, step.variables
        )
        status = "partial" if code is None else "failed" if code else "passed"
        # After a contestant or a run has failed, the report is there; after an interrupt it is not.
        if code is None and step.folder is not None:
            options = ("--no-replays",) if step.tables else ()
            left = max(report, seconds - (time.monotonic() - start))
            if call((PROGRAM, "report", str(step.folder), *options), output, left, {}) != 0:
                status = "failed"
    text = log.read_text(encoding="utf-8", errors="replace")
    if code is None and step.folder is None:
        status = "failed"
    try:
        figure = step.figure(text, step.folder or ROOT)
    except (OSError, ValueError, KeyError):
        figure = read_last_line(text, ROOT)
        status = "failed"
    if step.folder is not None and step.tables is not None:
        copy_tables(step.folder, step.tables)
    if code is None:
        figure = "its time was over" + f"; {figure}" * (figure != "KeyboardInterrupt")
    elif code:
        figure = f"exit code {code}; {figure}"
    command = " ".join(["python", *map(_quoted, step.command)])
    return Outcome(step.name, status, time.monotonic() - start, figure, command)


def _quoted(word: str) -> str:
    word = word.removeprefix(f"{ROOT}{os.sep}")
    return f'"{word}"' if re.search(r"[\s{}\[\]*]", word) else word


def copy_tables(source: Path, target: Path) -> None:
    """Copies what a sweep's folder has for readers."""
    for pattern in TABLES:
        for path in sorted(source.glob(pattern)):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.name)


def write_index(out: Path, origin: Mapping[str, object], outcomes: Sequence[Outcome]) -> None:
    """Writes `index.md`, and `steps.json`, from which a later start goes on."""
    (out / "steps.json").write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")
    versions = origin["versions"]
    assert isinstance(versions, Mapping)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        "# The suite on a GPU",
        "",
        "Made by `make gpu-check`. A partial step was interrupted when its time was over; the same "
        "command goes on with it.",
        "",
        f"- device: {origin['device']}",
        f"- processor: {origin['processor']}",
        f"- revision: {origin['revision']}",
        f"- versions: {packages}",
        "",
        "| step | outcome | seconds | main figure |",
        "|---|---|---:|---|",
        *(
            f"| [{o.step}](logs/{o.step}.txt) | {o.status} | {o.seconds:.0f} | "
            f"{o.figure.replace('|', '/')} |"
            for o in outcomes
        ),
        "",
        *(f"- {o.step}: `{o.command}`" for o in outcomes),
    ]
    for name in ("speed", "ant"):
        if (out / name / "index.md").exists():
            lines += ["", f"[{name}]({name}/index.md)"]
    (out / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_outcomes(out: Path, names: Sequence[str]) -> dict[str, Outcome]:
    """Returns the outcomes of an earlier start, of steps with these names."""
    try:
        rows = json.loads((out / "steps.json").read_text(encoding="utf-8"))
        return {row["step"]: Outcome(**row) for row in rows if row["step"] in names}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def run_steps(
    steps: Sequence[Step],
    chosen: Sequence[str],
    out: Path,
    origin: Mapping[str, object],
    deadline: float,
) -> int:
    """Runs the chosen steps until a deadline, and writes the index after each.

    Args:
      steps: all steps, in order.
      chosen: the names of those to run.
      out: the output folder.
      origin: what the index says of the machine.
      deadline: seconds of `time.monotonic`.

    Returns:
      The exit code: 1 if a step of the index has failed, else 0.
    """
    names = [step.name for step in steps]
    outcomes = read_outcomes(out, names)
    left = [step for step in steps if step.name in chosen]
    (out / "logs").mkdir(parents=True, exist_ok=True)
    while left:
        step = left[0]
        remaining = max(1.0, deadline - time.monotonic())
        seconds = remaining * step.weight / sum(other.weight for other in left)
        left = left[1:]
        print(f"{step.name}: at most {seconds:.0f} s", flush=True)
        outcome = run_step(step, seconds, out / "logs" / f"{step.name}.txt")
        outcomes[step.name] = outcome
        print(f"{step.name}: {outcome.status} in {outcome.seconds:.0f} s: {outcome.figure}")
        write_index(out, origin, [outcomes[name] for name in names if name in outcomes])
    print(out / "index.md")
    return int(any(outcome.status == "failed" for outcome in outcomes.values()))


def read_origin() -> dict[str, object]:
    """Returns device, processor, revision and versions, from a process that ends before any step.

    Raises:
      SystemExit: jax does not start, or finds no GPU and was not told to take the CPU.
    """
    process = subprocess.run(
        [sys.executable, "-c", ORIGIN],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        reason = read_last_line(process.stderr, ROOT)
        raise SystemExit(f"error: jax does not start: {reason}")
    origin = json.loads(process.stdout.splitlines()[-1])
    if origin["device"].startswith("cpu") and os.environ.get("JAX_PLATFORMS") != "cpu":
        raise SystemExit(
            f"error: jax finds no GPU, but {origin['device']}; `python run_benchmark.py doctor` "
            "says what to install, and JAX_PLATFORMS=cpu with --scale small tries the steps here"
        )
    return origin


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the steps; returns the exit code."""
    start = time.monotonic()
    names = [step.name for step in make_steps(ROOT, ROOT, False, False)]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_check", description="Checks the suite on an NVIDIA GPU."
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="time of all steps together")
    parser.add_argument("--out", type=Path, help="default: results/reference/gpu")
    parser.add_argument("--work", type=Path, help="of what sweeps need to go on; results/gpu")
    parser.add_argument("--scale", choices=["full", "small"], default="full")
    parser.add_argument("--steps", nargs="+", choices=names, default=names)
    options = parser.parse_args(arguments)
    if not options.minutes > 0:
        parser.error(f"--minutes: must be above 0; is {options.minutes:g}")
    small = options.scale == "small"
    origin = read_origin()
    out = (
        options.out or ROOT / ("results/gpu_small" if small else "results/reference/gpu")
    ).resolve()
    work = (options.work or (out / "work" if small else ROOT / "results/gpu")).resolve()
    on_cpu = str(origin["device"]).startswith("cpu")
    steps = make_steps(out, work, small, on_cpu)
    out.mkdir(parents=True, exist_ok=True)
    deadline = start + 60 * options.minutes - min(CLOSING, 6 * options.minutes)
    return run_steps(steps, options.steps, out, origin, deadline)


if __name__ == "__main__":
    sys.exit(main())
