"""The best trials of a tuning run, picked and put into a sweep."""

from pathlib import Path

import pytest

from rl_es.cli.main import main
from rl_es.errors import UserError
from rl_es.results import manifest
from rl_es.sweep.cells import Cell, expand_cells
from rl_es.sweep.loading import load_sweep
from rl_es.sweep.variants import expand_variants
from rl_es.tuning import trials
from rl_es.tuning.apply import edit_sweep
from rl_es.tuning.trials import BestTrial, pick_best_trial
from tests.running import sweep_of
from tests.tuning.runs import SEARCH, fill

SWEEP = """\
# Runs of the paper.
name: final
seeds: 3   # 0 to 2
defaults: {budget: {env_steps: 1e5}, agent: {population: 16}}
environments:
  - CartPole-v1   # solved at 475
  - name: Pendulum-v1
    threshold: -250
    agents: {eggroll: {lr: 9}}   # by hand
agents: [eggroll, open_es, {name: nres, with: {window: 5}}]
"""
SEARCHED = sweep_of(SEARCH)


def near(cell: Cell) -> list[float]:
    """Best at lr 0.1 in CartPole, at the largest in Pendulum."""
    lr = cell.settings["lr"]
    value = -abs(lr - 0.1) if cell.env == "CartPole-v1" else lr
    return [value, value + cell.seed - 1000]


def best(env: str, agent: str) -> dict[str, object]:
    """The settings of the best trial, by hand."""
    entry = next(entry for entry in SEARCHED.agents if entry.display_name == agent)
    sign = -1 if env == "CartPole-v1" else 0
    value = {
        v.label: sign * abs(v.settings["lr"] - 0.1) or v.settings["lr"]
        for v in expand_variants(entry)
    }
    return dict(max(expand_variants(entry), key=lambda v: value[v.label]).settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "search", SEARCHED, near)
    return tmp_path


def test_the_best_trial_of_each_pair_is_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    path = folder / "final.yaml"
    path.write_text(SWEEP)
    call = ["tuned", str(folder / "search"), str(path)]
    assert main(call) == 0
    assert path.read_text() == SWEEP
    output = capsys.readouterr().out
    assert "Nothing was written" in output and "agents nres" in output
    assert main([*call, "--write"]) == 0
    after = path.read_text()
    for comment in ("# Runs of the paper.", "# 0 to 2", "# solved at 475", "# by hand"):
        assert comment in after
    before, now = expand_cells(sweep_of(SWEEP)), expand_cells(load_sweep(path))
    for old, new in zip(before, now, strict=True):
        chosen = {} if old.label == "nres" else best(old.env, old.label)
        assert new.settings == {**old.settings, **chosen}
    (record,) = load_sweep(path).tuning
    assert (record.name, record.search, record.seeds) == ("search", "random", (1000, 1001))
    assert record.trials == {"eggroll": 4, "open_es": 4}
    assert {env: budget.env_steps for env, budget in record.budget.items()} == {
        "CartPole-v1": 10_000,
        "Pendulum-v1": 10_000,
    }
    assert main([*call, "--write"]) == 0
    assert path.read_text() == after


def test_a_report_names_the_tuning(folder: Path):
    (folder / "final.yaml").write_text(edited_text(folder))
    fill(folder / "final", load_sweep(folder / "final.yaml"), lambda cell: [1.0])
    assert manifest.read_sweep_manifest(folder / "final").tuning == (
        "search, random search: 4 trials in each environment, seeds 1000, 1001, 10000 env_steps a "
        "run, by mean final return"
    )


def edited_text(folder: Path, sweep: str = SWEEP) -> str:
    path = folder / "edited.yaml"
    path.write_text(sweep)
    return edit_sweep(trials.read_tuning_results(folder / "search"), path).after


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: 3", "seeds: [5, 1001]", "seeds: tuning seeds and test seeds must be disjoint"),
        ("CartPole-v1   #", "Acrobot-v1   #", None),
        ("{eggroll: {lr: 9}}", "{nres: {lr: 9}}", None),
        ("[eggroll, ", "[{name: pes, label: eggroll}, ", "'eggroll' is pes here, and eggroll in"),
        ("[eggroll, ", "[{name: eggroll, grid: {lr: [1, 2]}}, ", "lr"),
        ("  - CartPole-v1 ", "  - &it\n    name: CartPole-v1\n    agents: &x {}\n  #", None),
    ],
)
def test_what_does_not_fit(folder: Path, old: str, new: str, message: str | None):
    changed = SWEEP.replace(old, new)
    assert changed != SWEEP
    if message is None:
        assert sweep_of(edited_text(folder, changed)).tuning
    else:
        with pytest.raises(UserError) as refused:
            edited_text(folder, changed)
        assert message in str(refused.value) and "\n" not in str(refused.value)


def test_settings_shared_by_an_alias_are_not_changed_together(folder: Path):
    shared = SWEEP.replace(
        "CartPole-v1   #", "{name: CartPole-v1, agents: &same {eggroll: {lr: 9}}}   #"
    ).replace("{eggroll: {lr: 9}}   #", "*same   #")
    with pytest.raises(UserError, match="cannot be put in alone"):
        edited_text(folder, shared)


def test_a_sweep_with_tuning_seeds_is_refused_later_too(folder: Path):
    after = edited_text(folder).replace("seeds: 3", "seeds: [1000]")
    with pytest.raises(UserError, match="must be disjoint; 'search' tuned with 1000"):
        sweep_of(after)


def test_what_else_differs_is_noted(folder: Path):
    path = folder / "edited.yaml"
    path.write_text(SWEEP.replace("population: 16", "population: 64"))
    notes = edit_sweep(trials.read_tuning_results(folder / "search"), path).notes
    assert "eggroll on CartPole-v1: tuned with population 16, here 64" in notes
    path.write_text(SWEEP.replace("[eggroll,", "[{name: eggroll, grid: {rank: [1, 4]}},"))
    notes = edit_sweep(trials.read_tuning_results(folder / "search"), path).notes
    assert "eggroll on CartPole-v1: tuned with rank 1, here 1, 4" in notes


def test_a_tuning_that_has_not_ended_leaves_its_pair_alone(tmp_path: Path):
    first = next(cell.run_id for cell in expand_cells(SEARCHED) if cell.agent == "eggroll")

    def status(cell: Cell) -> str:
        return "running" if cell.run_id == first else "finished"

    fill(tmp_path / "search", SEARCHED, near, status)
    (tmp_path / "edited.yaml").write_text(SWEEP)
    edited = edit_sweep(trials.read_tuning_results(tmp_path / "search"), tmp_path / "edited.yaml")
    assert ("CartPole-v1", "eggroll") not in edited.picks
    assert ("CartPole-v1", "open_es") in edited.picks
    assert any("eggroll on CartPole-v1" in note and "1 of 4" in note for note in edited.notes)


def test_a_sweep_of_other_agents_is_refused(folder: Path):
    with pytest.raises(UserError, match="nothing in it was tuned by 'search'"):
        edited_text(
            folder, SWEEP.replace("[eggroll, open_es, ", "[").replace("{eggroll: {", "{nres: {")
        )


def trial(number: int, *final: float, area: float = 0.0, lost: int = 0) -> trials.Trial:
    return trials.Trial(
        number, f"t{number}", {"lr": number}, final, (area,) * len(final), lost, 0, {}
    )


@pytest.mark.parametrize(
    ("trials_of_pair", "first", "second", "lost"),
    [
        ([trial(0, 1, 2), trial(1, 5, 0), trial(2, 0, 0)], 1, 0, 0),
        ([trial(0, 500), trial(1, 500, area=400), trial(2, 500, area=300)], 1, 2, 0),
        ([trial(0, 7), trial(1, 7)], 0, 1, 0),
        ([trial(0, 9, lost=1), trial(1, 3, 3)], 1, None, 1),
    ],
    ids=["mean", "ties go to the sooner", "then to the first", "lost runs do not count"],
)
def test_picking(trials_of_pair: list[trials.Trial], first: int, second: int | None, lost: int):
    pick = pick_best_trial(trials_of_pair)
    assert isinstance(pick, BestTrial)
    assert pick.best.number == first and pick.lost_trials == lost
    assert (pick.second.number if pick.second else None) == second


def test_nothing_is_picked_where_every_trial_lost_a_run():
    assert "each of 2 trials lost a run" in str(
        pick_best_trial([trial(0, lost=2), trial(1, 3, lost=1)])
    )


def test_folders_that_are_no_tuning(tmp_path: Path):
    with pytest.raises(UserError, match="name the results folder of a tuning run"):
        trials.read_tuning_results(tmp_path)
    fill(tmp_path, sweep_of(SWEEP), lambda cell: [0.0])
    with pytest.raises(UserError, match="varies nothing"):
        trials.read_tuning_results(tmp_path)
