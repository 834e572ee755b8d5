"""The catalogue, and its JSON schema: it takes what the suite takes, and refuses mistakes."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rl_es.envs import gymnax
from rl_es.sweep.loading import override
from rl_es.sweep.yaml_reader import parse_yaml, read_yaml
from rl_es.tools import catalogue

ROOT = Path(__file__).parents[2]
SWEEPS = [path for path in sorted((ROOT / "sweeps").rglob("*.yaml")) if "speed" not in path.parts]
GOOD = """
name: small
seeds: {first: 3, count: 2}
defaults: {budget: {env_steps: 1e4}, agent: {population: 16}}
environments:
  - CartPole-v1
  - {name: brax/ant, options: {backend: spring}, agents: {eggroll: {lr: 0.1}}}
agents:
  - open_es
  - name: eggroll
    with: {lr: 0.1}
    grid: {rank: [1, 2]}
    random: {samples: 2, sigma: {uniform: [0.1, 0.2]}}
"""


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = catalogue.sweep_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_sweep_fits(path: Path, validator: Any):
    assert [error.message for error in validator.iter_errors(read_yaml(path).content)] == []


@pytest.mark.parametrize(
    "assignment",
    ["seeds=3", "seeds=[0, 7]", "policy.network=my.own:Network", "policy.widths=[]",
     "environments.CartPole-v1.surface={low: [0, 0], high: [1, 1], points: 5}",
     "environments.CartPole-v1.surface={low: [0, 0], high: [1, 1], points: [5, 6]}",
     "agents.eggroll.random.lr={choice: [1, 2]}", "figures=[frontier]"],
)  # fmt: skip
def test_every_form_fits(assignment: str, validator: Any):
    document = parse_yaml(GOOD, "good")
    override(document, [assignment])
    assert [error.message for error in validator.iter_errors(document.content)] == []


@pytest.mark.parametrize(
    "mistake",
    ["seed=3", "seeds=0", "seeds={first: 1}", "budget.env_steps=-1", "budget.steps=1e4",
     "defaults.budget={env_steps: 1, seconds: 1}", "environments.0=CartPole-v2",
     "environments.brax/ant.options.backend=sprung", "environments.CartPole-v1.options.backend=mjx",
     "environments.brax/ant.agents.eggroll.learning_rate=1", "agents.open_es.with.rank=1",
     "agents.eggroll.with.rank=0", "agents.eggroll.grid.rank=2", "agents.eggroll.grid.rnk=[1]",
     "agents.eggroll.random.rnk={choice: [1]}", "agents.eggroll.random.lr={}", "agents=[open_as]",
     "policy.network=nlp", "defaults.agent.populations=3", "figures=[sideways]"],
)  # fmt: skip
def test_a_mistake_is_found(mistake: str, validator: Any):
    document = parse_yaml(GOOD, "good")
    override(document, [mistake])
    assert not validator.is_valid(document.content)


@pytest.mark.parametrize(
    ("subject", "expected"), [("MetaMaze-misc", 1), ("gymnax", len(gymnax.NOTES)), ("pes", 0)]
)
def test_what_to_know_of_an_environment_is_listed(subject: str, expected: int, capsys: Any):
    catalogue.show_catalogue(subject, False)
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("What to know") == (expected > 0)
    assert ("a chance of 1/65" in text) == (expected > 0)
    assert ("anew each episode" in text) == (expected > 1)
    assert gymnax.NOTES.keys() <= {*gymnax.NAMES}
