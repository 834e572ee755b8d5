"""Cells, run identities and groups."""

import pytest

from rl_es.sweep.cells import Cell, expand_cells, group_cells
from tests.running import sweep_of
from tests.sweep.toy_agents import plain
from tests.sweep.toy_suites import toy

pytestmark = pytest.mark.usefixtures("toys")

FULL = """
name: toy
seeds: [3, 5]
defaults:
  budget: {env_steps: 1e4}
  policy: {widths: [8], activation: relu}
  evaluation: {points: 3, episodes: 4}
  agent: {sigma: 0.3, lr: 0.5}
environments:
  - Toy-v0
  - name: Toy-v0
    label: exact
    options: {backend: exact}
    reward_scale: 0.5
    threshold: 9
    budget: {generations: 7}
    evaluation: {episodes: 2}
    policy: {activation: pqn, head: gaussian}
    agents: {plain: {sigma: 0.7}}
agents:
  - plain
  - {name: plain, label: varied, with: {rule: sgd}, grid: {lr: [0.1, 0.01], size: [1, 2]}}
  - {name: strategy, policy: {head: deterministic}}
"""


def test_order() -> None:
    cells = expand_cells(sweep_of(FULL))
    assert len(cells) == 2 * (1 + 4 + 1) * 2
    assert [(c.env, c.label, c.seed) for c in cells[:6]] == [
        ("Toy-v0", "plain", 3),
        ("Toy-v0", "plain", 5),
        ("Toy-v0", "varied lr=0.1 size=1", 3),
        ("Toy-v0", "varied lr=0.1 size=1", 5),
        ("Toy-v0", "varied lr=0.1 size=2", 3),
        ("Toy-v0", "varied lr=0.1 size=2", 5),
    ]
    assert cells[12].env == "exact"


def _find_cell(cells: tuple[Cell, ...], env: str, label: str) -> Cell:
    return next(cell for cell in cells if (cell.env, cell.label) == (env, label))


def test_precedence() -> None:
    cells = expand_cells(sweep_of(FULL))
    first, exact = _find_cell(cells, "Toy-v0", "plain"), _find_cell(cells, "exact", "plain")
    assert first.settings == {
        "lr": 0.5,
        "sigma": 0.3,
        "rule": "adam",
        "size": 2,
        "schedule": "constant",
    }
    assert exact.settings == {**first.settings, "sigma": 0.7}
    varied = _find_cell(cells, "exact", "varied lr=0.01 size=1")
    assert varied.settings == {
        "lr": 0.01,
        "sigma": 0.3,
        "rule": "sgd",
        "size": 1,
        "schedule": "constant",
    }

    assert first.policy.model_dump(exclude_unset=True) == {"widths": (8,), "activation": "relu"}
    assert (exact.policy.activation, exact.policy.head) == ("pqn", "gaussian")
    assert _find_cell(cells, "exact", "strategy").policy.head == "deterministic"
    assert (first.evaluation.points, first.evaluation.episodes) == (3, 4)
    assert (exact.evaluation.points, exact.evaluation.episodes) == (3, 2)
    assert (first.budget.env_steps, exact.budget.generations) == (10_000, 7)
    assert exact.budget.env_steps is None and exact.threshold == 9
    assert exact.env_options == {"backend": "exact"} and exact.wrappers.reward_scale == 0.5
    assert exact.config == plain.Hyperparameters(lr=0.5, sigma=0.7)
    assert exact.options == toy.Options(backend="exact")


def test_overrides_by_label_and_by_name() -> None:
    relabelled = "agents.0.label=first"  # now no label is 'plain': the name means both entries
    override_both = "environments.1.agents={plain: {sigma: 0.7}}"
    cells = expand_cells(sweep_of(FULL, relabelled, override_both))
    assert _find_cell(cells, "exact", "varied lr=0.1 size=1").settings["sigma"] == 0.7
    assert _find_cell(cells, "exact", "first").settings["sigma"] == 0.7
    override_each = "environments.1.agents={plain: {sigma: 0.7}, varied: {sigma: 0.9}}"
    cells = expand_cells(sweep_of(FULL, relabelled, override_each))
    assert _find_cell(cells, "exact", "varied lr=0.1 size=1").settings["sigma"] == 0.9
    assert _find_cell(cells, "exact", "first").settings["sigma"] == 0.7


def test_run_ids_are_distinct_and_stable() -> None:
    cells = expand_cells(sweep_of(FULL))
    assert len({cell.run_id for cell in cells}) == len(cells)
    # Golden: a change here orphans every result that anyone has.
    assert cells[0].run_id == "f13d5de926014d15"
    assert len({*cells}) == len(cells)  # cells are hashable


@pytest.mark.parametrize(
    "assignment",
    [
        "name=other",
        "description=other",
        "seeds=[3, 5, 9]",
        "defaults.budget.seconds=5",
        "defaults.evaluation.points=9",
        "environments.0.threshold=5",
        "environments.0.label=other",
        "agents.0.label=other",
        "agents.0.with.lr=0.5",  # says what held already
        "environments.0.agents={plain: {lr: 0.5}}",
        "defaults.policy.head=auto",
        "defaults.policy.init=normal",  # came after the first results
        "agents.0.with.schedule=constant",
    ],
)
def test_run_id_unchanged(assignment: str) -> None:
    assert (
        expand_cells(sweep_of(FULL))[0].run_id == expand_cells(sweep_of(FULL, assignment))[0].run_id
    )


@pytest.mark.parametrize(
    "assignment",
    [
        "seeds=[4]",
        "defaults.policy.widths=[9]",
        "defaults.policy.init=zeros",
        "defaults.evaluation.episodes=9",
        "defaults.agent.lr=0.6",
        "environments.0={name: Toy-v0, options: {backend: exact}, label: one}",
        "environments.0={name: Toy-v0, action_repeat: 2, label: one}",
        "environments.0=toy/other",
        "agents.0.with.rule=sgd",
        "agents.0.with.schedule=linear",
    ],
)
def test_run_id_changed(assignment: str) -> None:
    assert (
        expand_cells(sweep_of(FULL))[0].run_id != expand_cells(sweep_of(FULL, assignment))[0].run_id
    )


def test_numerics_change_run_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {expand_cells(sweep_of(FULL))[0].run_id}
    monkeypatch.setattr(plain, "NUMERICS", 2)
    ids.add(expand_cells(sweep_of(FULL))[0].run_id)
    monkeypatch.setattr(toy, "NUMERICS", 2)
    ids.add(expand_cells(sweep_of(FULL))[0].run_id)
    assert len(ids) == 3


def test_groups_share_what_is_static() -> None:
    cells = expand_cells(sweep_of(FULL))
    groups = group_cells(cells)
    # An environment: plain, varied at two sizes (each with two learning rates), strategy.
    assert [len(group.cells) for group in groups] == [2, 4, 4, 2] * 2
    assert len({group.key for group in groups}) == 8
    assert sorted(c.run_id for g in groups for c in g.cells) == sorted(c.run_id for c in cells)
    for group in groups:
        assert len({(c.env, c.agent, c.policy, c.evaluation, c.budget) for c in group.cells}) == 1
    assert groups[1].label == "Toy-v0 / plain x2"


@pytest.mark.parametrize(
    "assignment", ["defaults.agent.lr=0.9", "defaults.budget.seconds=5", "name=x", "seeds=9"]
)
def test_group_keys_ignore_traced_settings_and_budget(assignment: str) -> None:
    keys = [group.key for group in group_cells(expand_cells(sweep_of(FULL)))]
    assert keys == [group.key for group in group_cells(expand_cells(sweep_of(FULL, assignment)))]


RANDOM = """
name: toy
seeds: 1
defaults: {budget: {env_steps: 1e4}}
environments: [Toy-v0]
agents:
  - name: plain
    grid: {size: [1, 2]}
    random: {samples: 20, seed: 1, lr: {log_uniform: [1e-3, 1e-1]}, sigma: {uniform: [0.1, 0.2]}}
"""


def _draws(cells: tuple[Cell, ...], name: str) -> list[float]:
    return [cell.settings[name] for cell in cells]


def test_random_draws() -> None:
    cells = expand_cells(sweep_of(RANDOM))
    assert len(cells) == 40 and cells == expand_cells(sweep_of(RANDOM))
    assert all(1e-3 <= lr <= 1e-1 for lr in _draws(cells, "lr"))
    assert all(0.1 <= sigma <= 0.2 for sigma in _draws(cells, "sigma"))
    assert _draws(cells[:20], "lr") == _draws(cells[20:], "lr")  # each grid point: the same draws
    assert len(set(_draws(cells[:20], "lr"))) == 20
    assert _draws(cells, "lr") != _draws(
        expand_cells(sweep_of(RANDOM, "agents.0.random.seed=2")), "lr"
    )
    # Golden: another draw would be another sweep.
    assert cells[0].label == "plain size=1 lr=0.0137 sigma=0.106"


def test_more_samples_or_settings_keep_the_draws() -> None:
    before = _draws(expand_cells(sweep_of(RANDOM)), "lr")[:20]
    more = expand_cells(sweep_of(RANDOM, "agents.0.random.samples=30"))
    assert _draws(more, "lr")[:20] == before
    with_rule = expand_cells(sweep_of(RANDOM, "agents.0.random.rule={choice: [sgd, adam]}"))
    assert _draws(with_rule, "lr")[:20] == before


def test_labels_that_round_alike_are_told_apart() -> None:
    cells = expand_cells(sweep_of(RANDOM, "agents.0.random.lr={uniform: [0.1, 0.10001]}",
                       "agents.0.random.sigma={uniform: [0.1, 0.10001]}"))  # fmt: skip
    labels = [cell.label for cell in cells]
    assert len(set(labels)) == 40 and labels[1] == labels[0] + " no.2"


def test_surfaces_and_figures_are_no_part_of_a_run() -> None:
    more = ("environments.0.surface={low: [0, 0], high: [1, 1]}", "figures=[best_so_far]")
    before, after = (
        [(cell.run_id, cell.group) for cell in expand_cells(sweep_of(FULL, *changes))]
        for changes in ((), more)
    )
    assert before == after
