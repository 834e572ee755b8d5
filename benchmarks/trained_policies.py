"""Copies small trained policies out of results folders, one for each environment and label.

    python -m benchmarks.trained_policies results/NAME ... --out results/reference/policies

Of the seeds of a label it takes the one whose mean return over `--episodes` fresh episodes is the
median: neither the luckiest nor the unluckiest. Weights of more than 100 kB are left out and named.
`README.md` in the folder has the scores, and `scores.csv` has them for tests.
"""

import argparse
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rl_es
from rl_es.results.files import slug, write_text
from rl_es.training.policy_manifest import PolicyManifest, list_policies

MOST_BYTES = 100_000
COLUMNS = ["env", "label", "seed", "episodes", "return_mean", "return_std", "env_steps", "path"]
HEAD = """# Trained policies

One policy for each environment and agent of the reference results, where its weights take less than
100 kB: of the seeds, the one whose score is the median. In Python:

```python
import rl_es

policy = rl_es.load_policy("results/reference/policies/{path}")
print(policy.evaluate(episodes=10).mean())
```

`policy.act(observation)` acts in an environment of your own ([API](../../../docs/api.md)). Score:
mean and standard deviation over {episodes} fresh episodes, by
`python -m benchmarks.trained_policies`.

| environment | agent | score | trained for | file |
|---|---|---:|---:|---|
"""


def median_policy(
    policies: list[PolicyManifest], episodes: int
) -> tuple[PolicyManifest, np.ndarray]:
    """Returns the policy whose mean return is the median of several, and its returns [E]."""
    returns = [rl_es.evaluate(policy.path, episodes=episodes) for policy in policies]
    middle = np.argsort([values.mean() for values in returns], kind="stable")[len(returns) // 2]
    return policies[middle], returns[middle]


def copy_policy(policy: PolicyManifest, returns: np.ndarray, out: Path) -> dict[str, Any]:
    """Copies a policy's manifest and weights; returns its row of the table."""
    names = slug(policy.manifest["env"]), slug(policy.manifest["label"])
    folder = out.joinpath(*names)
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".json", ".msgpack"):
        source = policy.path.with_suffix(suffix)
        shutil.copyfile(source, folder / source.name)
    values = {name: policy.manifest[name] for name in ("env", "label", "seed", "env_steps")}
    return values | {
        "episodes": len(returns),
        "return_mean": round(float(returns.mean()), 4),
        "return_std": round(float(returns.std()), 4),
        "path": "/".join([*names, policy.path.name]),
    }


def write_tables(rows: list[dict[str, Any]], out: Path) -> None:
    """Writes `scores.csv` and `README.md`."""
    scores = pd.DataFrame(rows, columns=COLUMNS)
    write_text(out / "scores.csv", scores.to_csv(index=False, lineterminator="\n"))
    lines = [
        f"| {row['env']} | {row['label']} | {row['return_mean']:,.1f} ± {row['return_std']:,.1f} "
        f"| {row['env_steps']:,} steps | `{row['path']}` |"
        for row in rows
    ]
    head = HEAD.format(path=rows[0]["path"], episodes=rows[0]["episodes"])
    write_text(out / "README.md", head + "\n".join(lines) + "\n")


def main() -> None:
    """Copies the policies."""
    parser = argparse.ArgumentParser(description="Copies small trained policies.")
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=100)
    args = parser.parse_args()
    policies = [policy for folder in args.results for policy in list_policies(folder, "final")]
    rows = []

    def group(policy: PolicyManifest) -> tuple[str, str]:
        return policy.manifest["env"], policy.manifest["label"]

    for (env, label), seeds in groupby(sorted(policies, key=group), key=group):
        of_group = list(seeds)
        size = of_group[0].path.with_suffix(".msgpack").stat().st_size
        if size > MOST_BYTES:
            print(f"{env} / {label}: left out, {size:,} bytes")
            continue
        policy, returns = median_policy(of_group, args.episodes)
        rows.append(copy_policy(policy, returns, args.out))
        print(f"{env} / {label}: seed {policy.manifest['seed']}, {returns.mean():,.1f}")
    if not rows:
        parser.error(
            f"no policy of at most {MOST_BYTES:,} bytes in {', '.join(map(str, args.results))}"
        )
    write_tables(rows, args.out)


if __name__ == "__main__":
    main()
