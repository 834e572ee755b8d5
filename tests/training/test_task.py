"""What is built for a run's configuration."""

from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.training.task import Task


def task(name: str = "CartPole-v1", policy: PolicyConfig | None = None, **wrappers: float) -> Task:
    return Task(name, {}, WrapperConfig(**wrappers), policy or PolicyConfig())


def test_equal_tasks_share_what_is_built():
    one, other = task(), task()
    assert one.environment() is other.environment()
    assert one.make_policy(one.environment()) is other.make_policy(other.environment())


def test_what_differs_is_built_apart():
    plain, cut, scaled = task(), task(episode_length=7), task(reward_scale=0.5)
    made = [one.environment() for one in (plain, cut, scaled, task("Pendulum-v1"))]
    assert len({id(env) for env in made}) == len(made)
    assert made[1].spec.episode_length == 7
    assert scaled.evaluation_environment() is plain.environment()
    wide = task(policy=PolicyConfig(widths=(7,)))
    own = wide.make_policy(wide.environment())
    assert own is not plain.make_policy(plain.environment())
    assert own.parameters.size == 4 * 7 + 7 + 7 * 2 + 2
