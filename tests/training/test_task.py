"""What is built for a run's configuration."""

from pathlib import Path

from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.task import Task


def task(name: str = "CartPole-v1", policy: PolicyConfig | None = None, **wrappers: float) -> Task:
    return Task.from_options(name, {}, WrapperConfig(**wrappers), policy or PolicyConfig())


def test_equal_tasks_share_what_is_built():
    first, second = task(), task()
    assert first.environment() is second.environment()
    assert first.make_policy(first.environment()) is second.make_policy(second.environment())


def test_what_differs_is_built_apart():
    plain, shorter, scaled = task(), task(episode_length=7), task(reward_scale=0.5)
    environments = [
        built_task.environment() for built_task in (plain, shorter, scaled, task("Pendulum-v1"))
    ]
    assert len({id(env) for env in environments}) == len(environments)
    assert environments[1].spec.episode_length == 7
    assert scaled.evaluation_environment() is plain.environment()
    wide = task(policy=PolicyConfig(widths=(7,)))
    policy = wide.make_policy(wide.environment())
    assert policy is not plain.make_policy(plain.environment())
    assert policy.parameters.size == 4 * 7 + 7 + 7 * 2 + 2


HELD_OUT = """
from rl_es.interfaces import EnvSpec
from rl_es.tools.templates.my_env import MyEnv


class Levels(MyEnv):
    def __init__(self, options, data="training"):
        super().__init__(options)
        self.data = data

    def held_out(self):
        return Levels(self.options, "held out")
"""


def test_a_plug_in_with_held_out_data_is_evaluated_on_it(tmp_path: Path):
    (tmp_path / "levels.py").write_text(HELD_OUT)
    levels = task(f"{tmp_path}/levels.py:Levels", episode_length=7)
    training, evaluation = levels.environment(), levels.evaluation_environment()
    assert levels.evaluation_environment(training) is evaluation
    assert [env.env.data for env in (training, evaluation)] == ["training", "held out"]  # pyright: ignore[reportAttributeAccessIssue]
    assert training.spec.episode_length == evaluation.spec.episode_length == 7
