"""A command of the pages, as it is but for its budget: what a test adds to run it in seconds.

Notebooks of the tutorials add less, so that their figures show something.
"""

import re

TRAINING = ["budget.generations=2", "evaluation={points: 1, episodes: 2}", "policy.widths=[8]"]
CARTPOLE = "{name: CartPole-v1, threshold: 475}"
PENDULUM = "{name: Pendulum-v1, threshold: -250, policy: {normalise_observations: true}}"
# What is set of each file besides; of any other sweep, `OTHER`.
SWEEPS = {
    "sweeps/quickstart.yaml": [  # learns something, so that scores have a scale
        "seeds=2",
        "budget.generations=20",
        f"environments=[{CARTPOLE}, {PENDULUM}]",
        "agents=[{name: open_es, with: {lr: 0.1}}, {name: eggroll, with: {lr: 0.1}}]",
        "defaults.agent={population: 32, sigma: 0.3}",
    ],
    "sweeps/ablation/tuning.yaml": [
        "seeds=[1000]",
        "environments=[CartPole-v1]",
        "agents.eggroll.random.samples=2",
        "agents.open_es.random.samples=2",
        "defaults.agent.population=8",
    ],
    "sweeps/paper/cartpole.yaml": [
        "seeds=1",
        "agents=[{name: eggroll, with: {population: 8}}, {name: open_es, with: {population: 8}}]",
    ],
    "signs.yaml": [
        "seeds=2",
        "environments=[Pendulum-v1]",
        "agents=[./sign_es.py:SignES, eggroll]",
        "defaults.agent.population=8",
    ],
    "signs_tuning.yaml": [
        "seeds=[1000]",
        "environments=[Pendulum-v1]",
        "agents=[{name: eggroll, random: {samples: 2, lr: {uniform: [0.1, 0.2]}}}]",
        "defaults.agent.population=8",
    ],
    "sweeps/pes/swimmer.yaml": [
        "defaults.agent.population=4",
        "environments.0.episode_length=100",
        "agents=[{name: nres, with: {window: 50}}]",
    ],
    "sweeps/integer_lm/look.yaml": [
        "seeds=1",
        "environments.0.options.evaluation_steps=20",
        "agents=[{name: egg, with: {population: 8, window: 10}}]",
    ],
    "sweeps/reasoning/look.yaml": [
        "policy.widths=[48]",  # those of the policy that it starts from
        "agents=[{name: eggroll, with: {population: 8}}, {name: grpo, with: {prompts: 4}}]",
    ],
    "sweeps/pes/variance.yaml": [
        "budget.generations=8",
        "seeds=1",
        "environments=[{name: unrolled/linear, label: independent-2, options: {steps: 2}}]",
        "agents=[pes, nres]",
    ],
    "sweeps/ablation/rank_bias.yaml": [
        "budget.generations=4",
        "seeds=2",
        "defaults.agent.population=16",
        "agents=[full_rank_es, {name: eggroll, grid: {rank: [1, 2]}}]",
    ],
}
ONE = f"environments=[{CARTPOLE}]"  # of a quickstart that is run beside the usual one
OTHER = ["seeds=1", "defaults.agent.population=8"]
SPEED = [
    "rounds=1",
    "min_seconds=0",
    "workloads={environments: [CartPole-v1], widths: [[8]], populations: [8]}",
    "contestants=[bare, inference, eggroll]",
]
MORE = {
    "run": ["--no-replays", "--quiet"],
    "report": ["--no-replays"],
    "tune": ["--startup", "1", "--quiet"],
    "speed": ["--quiet"],
    "figures": ["--replicates", "50"],
    "check": ["--steps", "2000"],
    "replay": ["--size", "96x64"],
}


def shrunk(arguments: list[str]) -> list[str]:
    """The arguments of `run_benchmark.py`, with overrides that come last and so win."""
    verb = arguments[0]
    files = [word for word in arguments[1:] if word.endswith(".yaml")]
    settings: list[str] = []
    if verb == "speed":
        settings = SPEED
    elif verb in ("run", "plan", "tune", "gradients"):
        settings = [*TRAINING, *SWEEPS.get(files[0], OTHER)]
        if files[0] == "sweeps/quickstart.yaml" and "--out" in arguments:
            settings.append(ONE)
    if verb == "figures" and "--list" in arguments:
        return arguments
    given = [part for setting in settings for part in ("--set", setting)]
    return [*arguments, *MORE.get(verb, []), *given]


# What notebooks show and do not run, with the reason: commands, and lines of files.
NOT_IN_NOTEBOOKS = {
    "python run_benchmark.py run sweeps/paper/cartpole.yaml": "it takes days on a CPU",
    "python run_benchmark.py run sweeps/paper/cartpole.yaml --set seeds=3 "
    "--set budget.env_steps=4e7 --out results/cartpole_look": "it is the run above, for longer",
    "python run_benchmark.py report results/cartpole_look": "`run` has just written the report",
    "python run_benchmark.py check ./sign_es.py:SignES": "it takes most of a minute",
    "  - {name: CartPole-v1, threshold: 475}": "half of the time is compilation for it",
}
# What they set of a file besides: so much that something is learned, within a minute a notebook.
NOTEBOOK_SWEEPS = {
    "sweeps/paper/cartpole.yaml": [
        "policy.widths=[32, 32]",
        "evaluation.points=10",
        "agents=[{name: eggroll, with: {rank: 4, population: 64, sigma: 0.2, lr: 0.1}}, "
        "{name: open_es, with: {population: 64, sigma: 0.2, lr: 0.1}}]",
    ],
    "signs.yaml": ["seeds=4", "budget.env_steps=4e5"],
    "signs_tuning.yaml": [
        "seeds=[1000]",
        "budget.env_steps=4e5",
        *(f"agents.{agent}.random.samples=5" for agent in range(4)),
    ],
}
NOTEBOOK_STEPS = 1 / 100  # of the budgets that a command of a notebook sets


def notebook_options(arguments: list[str]) -> list[str]:
    """The options that make a command smaller in a notebook, where the last of a kind wins."""
    verb, *words = arguments
    if verb != "run":
        return []
    settings = next((NOTEBOOK_SWEEPS[word] for word in words if word in NOTEBOOK_SWEEPS), [])
    budgets = re.findall(r"budget\.env_steps=(\S+)", " ".join(words))
    steps = [f"budget.env_steps={float(budget) * NOTEBOOK_STEPS:g}" for budget in budgets]
    given = [part for setting in [*settings, *steps] for part in ("--set", setting)]
    return ["--workers", "1", "--no-replays", "--quiet", *given]
