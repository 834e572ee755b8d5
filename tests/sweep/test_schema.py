"""What a sweep file may say: each wrong one is refused with its place and what would be right."""

import pytest

from rl_es.errors import UserError
from rl_es.results.figure_settings import FigureSettings
from tests.running import sweep_of

pytestmark = pytest.mark.usefixtures("toys")

BASE = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}}
environments: [Toy-v0]
agents: [plain]
"""
TWO = """
name: toy
seeds: 2
defaults: {budget: {env_steps: 1e4}}
environments: [Toy-v0, toy/other]
agents: [plain, {name: strategy, grid: {lr: [0.1, 0.2]}}]
"""


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("3", (0, 1, 2)), ("[0, 3, 7]", (0, 3, 7)), ("{first: 100, count: 2}", (100, 101))],
)
def test_seeds(seeds: str, expected: tuple[int, ...]) -> None:
    assert sweep_of(BASE, f"seeds={seeds}").seeds == expected


def test_names_stand_for_entries() -> None:
    sweep = sweep_of(TWO)
    assert [entry.display_name for entry in sweep.environments] == ["Toy-v0", "toy/other"]
    assert [entry.display_name for entry in sweep.agents] == ["plain", "strategy"]


def test_whole_floats_are_ints() -> None:
    sweep = sweep_of(BASE)
    assert sweep.defaults.budget and sweep.defaults.budget.env_steps == 10_000


WRONG = [
    # keys
    ("sedes=3", "sedes", "unknown key; did you mean 'seeds'?"),
    ("defaults.polcy.network=mlp", "defaults.polcy", "did you mean 'policy'?"),
    ("defaults.policy.netwrk=mlp", "defaults.policy.netwrk", "did you mean 'network'?"),
    ("environments.0.treshold=3", "environments[0].treshold", "did you mean 'threshold'?"),
    ("environments.0.episode_lenght=3", "environments[0]", "did you mean 'episode_length'?"),
    ("agents.0.wiht.lr=3", "agents[0].wiht", "did you mean 'with'?"),
    ("agents.0.fixed.lr=3", "agents[0].fixed", "unknown key"),
    ("agents.0.random={samples: 2, lr: {unifrom: [0, 1]}}", "random.lr.unifrom", "'uniform'?"),
    # names
    ("environments.0=Toy-v1", "environments[0].name", "did you mean 'Toy-v0'?"),
    ("agents.0=plane", "agents[0].name", "did you mean 'plain'?"),
    ("name=../x", "name", "not a path"),
    ("name=a/b", "name", "not a path"),
    ("name=.hidden", "name", "not a path"),
    ("name=''", "name", "not a path"),
    ("name=5", "name", "must be text, is 5"),
    (f"name={'x' * 101}", "name", "at most 100 characters"),
    ("environments.0.label=a/../b", "environments[0].label", "inner '/'"),
    ("agents.0.label=a/b", "agents[0].label", "must be letters"),
    # types and ranges
    ("agents.0.with.lr=fast", "agents[0].with.lr", "must be a number, is the text 'fast'"),
    ("agents.0.with.lr=-1", "agents[0].with.lr", "must be > 0, is -1"),
    ("agents.0.with.lr=true", "agents[0].with.lr", "must be a number, is true"),
    ("agents.0.with.size=1.5", "agents[0].with.size", "must be a whole number, is 1.5"),
    ("agents.0.with.rule=adm", "agents[0].with.rule", "did you mean 'adam'?"),
    ("agents.0.with.lrr=1", "agents[0].with.lrr", "unknown key; did you mean 'lr'?"),
    ("agents.0.with=3", "agents[0].with", "must be a mapping"),
    ("agents.0=3", "agents[0]", "must be a mapping"),
    ("agents=plain", "agents", "must be a list, is the text 'plain'"),
    ("agents=[]", "agents", "is empty"),
    ("environments=[]", "environments", "is empty"),
    ("defaults.policy.network=mlpp", "defaults.policy.network", "did you mean 'mlp'?"),
    ("defaults.policy.widths=[0]", "defaults.policy.widths[0]", "must be >= 1"),
    ("defaults.evaluation.points=0", "defaults.evaluation.points", "must be >= 1"),
    ("environments.0.options.backend=fats", "environments[0].options.backend", "'fast'?"),
    ("environments.0.options.bakend=x", "environments[0].options.bakend", "'backend'?"),
    (
        "environments.0={name: toy/other, options: {backend: exact}}",
        "environments[0].options",
        "toy/other has no exact backend",
    ),
    ("environments.0.threshold=.inf", "--set", "finite"),
    ("environments.0.episode_length=~", "--set", "null"),
    (
        "environments.0.baselines={random: low}",
        "environments[0].baselines.random",
        "must be a number",
    ),
    ("environments.0.baselines={random: .nan}", "--set", "finite"),
    ("environments.0.baselines={/x: 1}", "environments[0].baselines", "letters, digits and"),
    ("environments.0.threshold=", "environments[0].threshold", "must be a number"),
    ("agents.0={name: strategy, with: {population: 7}}", "with.population", "even, such as 8"),
    # seeds
    ("seeds=0", "seeds", "at least 1"),
    ("seeds=[]", "seeds", "is empty"),
    ("seeds=[1, 1]", "seeds", "lists 1 twice"),
    ("seeds=[-1]", "seeds[0]", "must be >= 0"),
    ("seeds=1e15", "seeds", "at most 1000000"),
    ("seeds=1.5", "seeds", "must be a count, a list or {first: 100, count: 10}"),
    ("seeds={first: 1}", "seeds", "'first' and 'count'"),
    ("seeds={first: 1e300, count: 3}", "seeds", "must be"),
    ("seeds={first: 2147483647, count: 2}", "seeds[1]", "must be <="),
    # budgets
    ("defaults.budget={}", "defaults.budget", "exactly one of env_steps, generations and seconds"),
    ("defaults.budget={env_steps: 1, seconds: 1}", "defaults.budget", "env_steps and seconds"),
    ("defaults={}", "environments[0]", "has no budget"),
    ("defaults.budget.env_steps=0", "defaults.budget.env_steps", "must be >= 1"),
    # variation
    ("agents.0.grid={lr: []}", "agents[0].grid.lr", "is empty"),
    ("agents.0.grid={lr: 0.1}", "agents[0].grid.lr", "must be a list"),
    ("agents.0.grid={lr: [0.1, -1]}", "agents[0].grid.lr[1]", "must be > 0"),
    ("agents.0.grid={lr: [0.1, 0.1]}", "agents[0].grid.lr", "lists 0.1 twice"),
    ("agents.0.grid={lrr: [0.1]}", "agents[0].grid.lrr", "did you mean 'lr'?"),
    ("agents.0.random={samples: 2}", "agents[0].random", "draws nothing"),
    ("agents.0.random={lr: {choice: [1]}}", "agents[0].random.samples", "is missing"),
    ("agents.0.random={samples: 2, lr: {}}", "random.lr", "exactly one of uniform"),
    ("agents.0.random={samples: 2, lr: {uniform: [2, 1]}}", "random.lr", "low < high"),
    ("agents.0.random={samples: 2, lr: {log_uniform: [0, 1]}}", "random.lr", "0 < low < high"),
    ("agents.0.random={samples: 2, lr: {uniform: [1]}}", "random.lr.uniform", ""),
    ("agents.0.random={samples: 2, lrr: {uniform: [1, 2]}}", "random.lrr", "did you mean 'lr'?"),
    (
        "agents.0={name: plain, grid: {lr: [1]}, random: {samples: 2, lr: {uniform: [1, 2]}}}",
        "agents[0]",
        "'lr' is varied by grid and by random",
    ),
    (
        "agents.0={name: plain, with: {lr: 1}, grid: {lr: [1]}}",
        "agents[0]",
        "'lr' is fixed by `with`",
    ),
    ("agents.0.random={samples: 5, size: {choice: [1, 2]}}", "", "two runs are the same"),
    ("agents.0.random={samples: 1e6, lr: {uniform: [1, 2]}}", "", "at most 1,000,000"),
    # overrides of an environment
    ("environments.0.agents={plane: {lr: 1}}", "environments[0].agents.plane", "'plain'?"),
    ("environments.0.agents={plain: {lrr: 1}}", "environments[0].agents.plain.lrr", "'lr'?"),
    ("environments.0.agents={plain: {lr: 0}}", "environments[0].agents.plain.lr", "must be > 0"),
    # surfaces and figures
    ("environments.0.surface={low: [0, 0]}", "environments[0].surface.high", "is missing"),
    ("environments.0.surface={lo: [0, 0], high: [1, 1]}", "surface.lo", "did you mean 'low'?"),
    ("environments.0.surface={low: [0, 1], high: [1, 1]}", "surface", "below its high"),
    ("environments.0.surface={low: [0], high: [1, 1]}", "environments[0].surface.low", ""),
    ("environments.0.surface={low: [0, a], high: [1, 1]}", "surface.low[1]", "must be a number"),
    (
        "environments.0.surface={low: [0, 0], high: [1, 1], points: 1}",
        "environments[0].surface.points[0]",
        "must be >= 2, is 1",
    ),
    (
        "environments.0.surface={low: [0, 0], high: [1, 1], episodes: 0}",
        "environments[0].surface.episodes",
        "must be >= 1",
    ),
    ("figures=[best_sofar]", "figures[0]", "did you mean 'best_so_far'?"),
    ("figures=[best_so_far, best_so_far]", "figures", "twice"),
    ("figures=best_so_far", "figures", "must be a list"),
    ("figures={further: [frontir]}", "figures.further[0]", "did you mean 'frontier'?"),
    ("figures={lables: [plain]}", "figures.lables", "unknown key; did you mean 'labels'?"),
    ("figures={labels: [plian]}", "figures.labels[0]", "no label 'plian' here; did you mean"),
    ("figures={environments: [Toy]}", "figures.environments[0]", "no environment 'Toy' here"),
    ("figures={rename: {pes: x}}", "figures.rename", "no label or environment 'pes' here"),
    ("figures={colours: {plain: red}}", "figures.colours.plain", ""),
    ("figures={titles: {profile: x}}", "figures.titles", "profiles"),
    ("figures={width: 0}", "figures.width", "must be >= 1, is 0"),
    # repetition
    ("agents=[plain, plain]", "agents", "two are labelled 'plain'"),
    ("agents=[plain, {name: plain, label: other}]", "", "two runs are the same"),
    ("environments=[Toy-v0, Toy-v0]", "environments", "two are labelled 'Toy-v0'"),
    ("environments=[Toy-v0, {name: Toy-v0, label: again}]", "", "two runs are the same"),
]


@pytest.mark.parametrize(("points", "expected"), [("5", (5, 5)), ("[3, 7]", (3, 7))])
def test_points_of_a_surface(points: str, expected: tuple[int, int]) -> None:
    text = "environments.0.surface={low: [-1, 0.5], high: [1, 2]}"
    surface = (
        sweep_of(BASE, text, f"environments.0.surface.points={points}").environments[0].surface
    )
    assert surface and surface.points == expected and surface.low == (-1.0, 0.5)


def test_figures_are_a_list_or_a_mapping() -> None:
    assert sweep_of(BASE, "figures=[frontier]").figures == ("frontier",)
    text = "figures={further: [frontier], labels: [plain], rename: {plain: A, Toy-v0: toy}}"
    sweep = sweep_of(BASE, text, "figures.x_limits={learning_curves: [0, 1e6]}")
    assert isinstance(sweep.figures, FigureSettings)
    assert sweep.figures.further == ("frontier",) and sweep.figures.labels == ("plain",)
    content = sweep.model_dump(mode="json")["figures"]  # as the manifest has it
    assert FigureSettings.model_validate(content).x_limits == {"learning_curves": (0.0, 1e6)}


@pytest.mark.parametrize(("assignment", "path", "message"), WRONG, ids=[w[0] for w in WRONG])
def test_refused(assignment: str, path: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        sweep_of(BASE, assignment)
    text = str(caught.value)
    assert path in text and message in text
    assert text.startswith(("sweep.yaml", "--set"))
    assert len(text.splitlines()) <= 3 and len(text) < 500


def test_missing_key() -> None:
    with pytest.raises(UserError, match="sweep.yaml: agents: is missing"):
        sweep_of("name: toy\nseeds: 2\nenvironments: [Toy-v0]")


def test_line_of_the_file() -> None:
    with pytest.raises(UserError, match=r"sweep.yaml: agents\[0\].with.lr \(line 7\): must be > 0"):
        sweep_of(BASE.replace("agents: [plain]", "agents:\n  - {name: plain, with: {lr: -1}}"))


def test_override_of_a_varied_setting() -> None:
    with pytest.raises(UserError, match=r"agents.strategy.lr .*varies it by grid"):
        sweep_of(TWO, "environments.0.agents={strategy: {lr: 1}}")


def test_defaults_hold_for_agents_that_have_them() -> None:
    with pytest.raises(UserError, match=r"defaults.agent.population .*unknown key"):
        sweep_of(TWO, "defaults.agent.population=8")


def test_labels_of_variants_differ_between_entries() -> None:
    with pytest.raises(UserError, match="label 'strategy lr=0.1' is used twice"):
        sweep_of(TWO, "agents.0={name: plain, label: strategy lr=0.1}")
