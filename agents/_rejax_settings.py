"""Settings that agents of rejax share, by the names that rejax gives them. Loads no jax."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from rl_es.config import Config, static, traced


class RejaxConfig(Config):
    """Settings of every agent of rejax."""

    num_envs: int = static(64, "environments that are stepped side by side", ge=1)
    num_steps: int = static(64, "steps of each environment an iteration", ge=1)
    normalise_rewards: bool = static(
        False, "divide rewards by the running standard deviation of their sums, discounted by 0.99"
    )
    lr: float = traced(3e-4, "learning rate of adam, of every network", gt=0)
    gamma: float = traced(0.99, "discount", ge=0, le=1)
    max_grad_norm: float = traced(10.0, "gradients are clipped to it, element by element", gt=0)


class MinibatchConfig(RejaxConfig):
    """Settings of agents that learn from the steps of the last iteration."""

    num_epochs: int = static(8, "passes over an iteration's steps", ge=1)
    num_minibatches: int = static(16, "parts of a pass, one gradient step each", ge=1)

    @model_validator(mode="after")
    def _check_minibatches(self) -> Self:
        steps = self.num_envs * self.num_steps
        if steps % self.num_minibatches or steps == self.num_minibatches:
            raise ValueError(
                f"num_minibatches: {self.num_minibatches} cannot be made of an iteration of "
                f"{self.num_envs} x {self.num_steps} steps; choose a smaller divisor of {steps:,}"
            )
        return self


class ReplayConfig(RejaxConfig):
    """Settings of agents that learn from a replay buffer."""

    num_envs: int = static(8, "environments that are stepped side by side", ge=1)
    num_epochs: int = static(4, "gradient steps for one step of all environments", ge=1)
    buffer_size: int = static(65_536, "steps that the replay buffer holds", ge=1)
    fill_buffer: int = static(2_048, "steps before the first gradient step", ge=0)
    batch_size: int = static(128, "steps of a gradient step, drawn from the buffer", ge=1)
    lr: float = traced(1e-3, "learning rate of adam, of every network", gt=0)
    target_update_freq: int = static(1, "steps between two updates of target networks", ge=1)
    polyak: float = traced(0.99, "share of a target network that an update keeps", ge=0, le=1)

    @model_validator(mode="after")
    def _check_buffer(self) -> Self:
        if self.buffer_size < self.num_envs:
            raise ValueError(
                f"buffer_size: {self.buffer_size} cannot hold a step of {self.num_envs} "
                f"environments; choose {self.num_envs} or more"
            )
        return self


class GreedyConfig(RejaxConfig):
    """Settings of agents that explore by random actions."""

    eps_start: float = traced(1.0, "probability of a random action at the start", ge=0, le=1)
    eps_end: float = traced(0.05, "and after exploration_steps", ge=0, le=1)
    exploration_steps: float = traced(
        50_000.0,
        "steps over which it falls from eps_start to eps_end; exploration_fraction of "
        "total_timesteps in rejax",
        gt=0,
    )
