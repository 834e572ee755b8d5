"""What is built for a run's configuration."""

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
