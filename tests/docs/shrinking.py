"""A command of the pages, as it is but for its budget: what a test adds to run it in seconds."""

TRAINING = ["budget.generations=2", "evaluation={points: 1, episodes: 2}", "policy.widths=[8]"]
TWO = "environments=[{name: CartPole-v1, threshold: 475}, {name: Pendulum-v1, threshold: -250}]"
# What is set of each file besides; of any other sweep, `OTHER`.
SWEEPS = {
    "sweeps/quickstart.yaml": [
        "seeds=2",
        TWO,
        "agents=[open_es, {name: eggroll, with: {rank: 1, lr: 0.05}}]",
        "defaults.agent={population: 16, sigma: 0.3}",
    ],
    "sweeps/ablation/tuning.yaml": [
        "seeds=[1000]",
        "environments=[CartPole-v1]",
        "agents.eggroll.random.samples=2",
        "agents.open_es.random.samples=2",
        "defaults.agent.population=8",
    ],
    "sweeps/pes/swimmer.yaml": ["defaults.agent.population=4", "environments.0.episode_length=100"],
}
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
    "replay": ["--size", "80x60"],
    "evaluate": [],
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
    if verb == "figures" and "--list" in arguments:
        return arguments
    given = [part for setting in settings for part in ("--set", setting)]
    return [*arguments, *MORE.get(verb, []), *given]
