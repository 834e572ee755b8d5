"""What a speed file may say: each wrong one is refused with its place and what would be right."""

import pytest

from rl_es.errors import UserError
from rl_es.speed.workloads import expand_workloads
from tests.speed.benchmarks import benchmark_of

WRONG = [
    ("rouns=3", "rouns", "unknown key; did you mean 'rounds'?"),
    ("rounds=0", "rounds (--set)", "must be >= 1, is 0"),
    ("rounds=many", "rounds", "must be a whole number, is the text 'many'"),
    ("min_seconds=-1", "min_seconds", "must be >= 0, is -1"),
    ("compile=5", "compile", "must be true or false, is 5"),
    ("workloads.width=[[4]]", "workloads.width", "did you mean 'widths'?"),
    ("workloads.widths=[4]", "workloads.widths[0]", "must be a list, is 4"),
    ("workloads.widths=[[0]]", "workloads.widths[0][0]", "must be >= 1, is 0"),
    ("workloads.widths=[]", "workloads.widths", "is empty"),
    ("workloads.populations=[3]", "workloads.populations[0]", "must be even, such as 4"),
    ("workloads.populations=[4, 4]", "workloads.populations", "lists 4 twice"),
    ("workloads.populations=8", "workloads.populations", "must be a list, is 8"),
    ("workloads.horizons=[ful]", "workloads.horizons[0]", "did you mean 'full'?"),
    ("workloads.environments=[CartPol-v1]", "environments[0].name", "did you mean 'CartPole-v1'?"),
    ("workloads.environments.0.episode_lenght=3", "environments[0]", "'episode_length'?"),
    ("workloads.environments.0.options={x: 1}", "environments[0].options.x", "unknown key"),
    ("workloads.environments.0.threshold=3", "environments[0].threshold", "unknown key"),
    ("policy.widths=[4]", "policy.widths", "see workloads.widths"),
    ("policy.activation=tahn", "policy.activation", "did you mean 'tanh'?"),
    ("contestants=[egroll]", "contestants[0].name", "did you mean 'eggroll'?"),
    ("contestants=[infrence]", "contestants[0].name", "did you mean 'inference'?"),
    ("contestants=[]", "contestants", "is empty"),
    ("contestants=[eggroll, eggroll]", "contestants", "two are labelled 'eggroll'"),
    ("contestants.bare.with.lr=1", "contestants[0].with", "it has no settings"),
    ("contestants.eggroll.with.rnk=1", "contestants[2].with.rnk", "did you mean 'rank'?"),
    ("contestants.eggroll.grid.rank=[0]", "contestants[2].grid.rank[0]", "must be >= 1, is 0"),
    ("contestants.eggroll.with.population=8", "with.population", "see workloads.populations"),
    ("contestants.eggroll.grid.episodes=[2]", "grid.episodes", "see workloads.episodes"),
    ("contestants.eggroll.up_to=few", "contestants[2].up_to", "must be a whole number"),
    ("contestants.eggroll.policy.network=mlp", "contestants[2].policy", "unknown key"),
    ("contestants.eggroll.precision=bf16", "contestants[2].precision", "'bfloat16'"),
    ("contestants.bare.precision=bfloat16", "contestants[0].precision", "bare has no network"),
    ("contestants=[{name: evosax, with: {sgma: 1}}]", "with.sgma", "did you mean 'sigma'?"),
    ("agent.population=8", "agent.population", "see workloads.populations"),
    ("agent.lr=-1", "agent.lr (--set)", "must be > 0, is -1"),
    ("agent.rank=1", "agent.rank (--set)", "unknown key"),
]


@pytest.mark.parametrize(("assignment", "place", "reason"), WRONG)
def test_refused(assignment: str, place: str, reason: str) -> None:
    more = ["contestants=[eggroll, full_rank_es]"] if assignment == "agent.rank=1" else []
    with pytest.raises(UserError) as error:
        benchmark_of(*more, assignment)
    message = str(error.value)
    assert message.startswith("toy.yaml: ") and "\n" not in message
    assert place in message and reason in message


def test_a_wrong_line_is_named() -> None:
    text = "name: toy\nworkloads:\n  environments: [CartPole-v1]\n  widths: [[4]]\n"
    text += "  populations:\n    - 4\n    - 5\ncontestants: [bare]\n"
    with pytest.raises(UserError, match=r"toy.yaml: workloads.populations\[1\] \(line 7\): "):
        benchmark_of(text=text)


def test_a_misspelled_key_is_not_called_missing() -> None:
    text = "name: toy\nworkloads: {environments: [CartPole-v1], width: [[4]], populations: [4]}\n"
    with pytest.raises(UserError, match=r"workloads.width .*: unknown key; did you mean 'widths'"):
        benchmark_of(text=text + "contestants: [bare]")


def test_evosax_cannot_be_given_normalised_observations() -> None:
    wrong = ("contestants=[inference, evosax]", "policy.normalise_observations=true")
    with pytest.raises(UserError, match=r"contestants\[1\].*normalise_observations"):
        benchmark_of(*wrong)


def test_workloads_are_every_combination() -> None:
    axes = ("populations=[4, 6]", "widths=[[4], [5, 5]]", "episodes=[1, 2]")
    workloads = expand_workloads(benchmark_of(*(f"workloads.{axis}" for axis in axes)))
    sizes = [
        (workload.policy.widths, workload.population, workload.episodes) for workload in workloads
    ]
    assert sizes == [(w, p, e) for w in ((4,), (5, 5)) for p in (4, 6) for e in (1, 2)]
    assert len({workload.key for workload in workloads}) == len(workloads)


def test_contestants_have_the_sizes_of_their_workload() -> None:
    (workload,) = expand_workloads(
        benchmark_of(
            "workloads.populations=[6]",
            "workloads.episodes=[3]",
            "agent.lr=0.5",
            "contestants=[inference, {name: eggroll, grid: {rank: [1, 2]}}, pes, evosax]",
        )
    )
    configs = {contestant.label: contestant.config for contestant in workload.contestants}
    assert list(configs) == ["inference", "eggroll rank=1", "eggroll rank=2", "pes", "evosax"]
    assert configs.pop("inference") is None
    settings = [config.model_dump() for config in configs.values() if config]
    assert all(config["population"] == 6 and config["lr"] == 0.5 for config in settings)
    assert [config.get("episodes") for config in settings] == [3, 3, None, 3]


@pytest.mark.parametrize(
    "assignment",
    ["rounds=3", "agent.sigma=0.2", "policy.activation=relu", "workloads.horizons=[natural]",
     "workloads.environments.0.episode_length=9", "contestants=[bare, inference]"],
)  # fmt: skip
def test_a_key_changes_with_what_is_measured(assignment: str) -> None:
    assert (
        expand_workloads(benchmark_of(assignment))[0].key != expand_workloads(benchmark_of())[0].key
    )


def test_a_key_does_not_hang_on_other_workloads() -> None:
    workloads = expand_workloads(
        benchmark_of("workloads.populations=[2, 4]", "name=x", "description=y")
    )
    assert workloads[1].key == expand_workloads(benchmark_of())[0].key
