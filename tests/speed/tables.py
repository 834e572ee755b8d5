"""Samples and programs with known times, as a benchmark would have written them."""

from pathlib import Path
from typing import Any

from rl_es.results import text_files, timings

KEY = "{:016x}"
SHARES = {"noise": 0.1, "rollout": 0.8, "shaping": 0.02, "update": 0.08}


def write(folder: Path, workloads: list[dict[str, Any]], rounds: int = 3) -> None:
    """Writes a folder of workloads; each has the keys of `WORKLOAD` that it changes, and `times`.

    `times` is {contestant: (agent, seconds of a step of all members, bytes of its noise, shares)};
    None instead of seconds: it was skipped. Round r takes 1 + r / 10 as long, for all alike. The
    shares are those of an agent's parts in a generation; `SHARES` if they are not given.
    """
    keys = [KEY.format(number) for number in range(len(workloads))]
    for key, changed in zip(keys, workloads, strict=True):
        times = changed.pop("times")
        workload = {"workload": key, "env": "Toy-v0", "widths": "8x8", "population": 4,
                    "episodes": 1, "horizon": "full", "episode_length": 10, **changed}  # fmt: skip
        steps = workload["population"] * workload["episodes"] * workload["episode_length"]
        samples, programs = [], []
        for label, (agent, step, noise, *shares) in times.items():
            who = {"contestant": label, "agent": agent}
            if step is None:
                programs.append({**who, "status": "skipped", "reason": "too large"})
                continue
            sizes = {"parameters": 100, "memory_bytes": 5000, "perturbation_bytes": noise}
            compiling = {"compile_cold_seconds": 4.0, "compile_cached_seconds": 0.2}
            programs.append(
                {**who, "status": "finished", **sizes, "trace_seconds": 0.5, **compiling}
            )
            floor = agent in ("bare", "inference", "evosax")
            part_shares = {} if floor else next(iter(shares), SHARES)
            for part, share in {"generation": 1.0, **part_shares}.items():
                counted = steps if part in ("generation", "rollout") else None
                samples += [
                    {**who, "part": part, "round": r, "place": 0, "repeats": 2,
                     "seconds": share * 10 * step * (1 + r / 10), "env_steps": counted,
                     "cpu_seconds": 2 * share * 10 * step * (1 + r / 10)}
                    for r in range(rounds)
                ]  # fmt: skip
        origin = {"device": "cpu", "machine": "toy", "versions": {"jax": "0"}}
        timings.write(timings.path_of(folder, key), workload, samples, programs, origin)
    manifest = {"benchmark": {"name": "toy"}, "starts": [], "workloads": keys}
    text_files.write_json(folder / "manifest.json", manifest)


def ladder(folder: Path) -> None:
    """Six widths: low-rank noise costs in proportion to the width, full-rank to its square."""
    workloads = []
    for w in (64, 128, 256, 512, 1024, 2048):
        inference = 1e-9 * w**2
        low, full = inference + 3e-9 * w, 9 * inference  # generations, without the update
        times: dict[str, Any] = {"inference": ("inference", inference, 0)}
        for label, cost, drawn, size in (
            ("eggroll", low, 1e-9 * w, 100 * w),
            ("full_rank_es", full, 2 * inference, 50 * w**2),
        ):
            whole = cost + 0.1 * inference
            parts = {"noise": drawn, "rollout": cost - drawn, "update": 0.1 * inference}
            shares = {part: seconds / whole for part, seconds in parts.items()}
            times[label] = (label, whole, size, shares)
        workloads.append({"widths": f"{w}x{w}", "times": times})
    write(folder, workloads)
