"""A policy: any Flax Linen module, an action head, and what of it can be perturbed as matrices.

A policy that is its action: what is evolved are the parameters of the environment's own unroll.

For unrolled problems (`envs/unrolled`), where each step of the environment is one step of an inner
computation, and the action says with which parameters.

Policies without a network: every allowed action is as likely as any other.
"""

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.errors import FlaxError
from jax import Array

from rl_es.errors import UserError, brief, short_reason
from rl_es.evolution.linen import find_matrices
from rl_es.interfaces import (
    Box,
    Discrete,
    EnvSpec,
    Observation,
    ParameterSpec,
    Params,
    Policy,
    PolicyState,
)
from rl_es.rollout.config import PolicyConfig
from rl_es.rollout.heads import Categorical, Head, make_head
from rl_es.rollout.networks import CNN, GRU, MLP, SharedMLP, carry_of, is_recurrent

THETA = "theta"


@dataclass(frozen=True, eq=False)
class ParameterPolicy:
    """The action is the parameter vector, whatever is observed."""

    space: Box
    start: tuple[float, ...]

    @property
    def parameters(self) -> ParameterSpec:
        """What is evolved: {"theta": [A]}, within the action's bounds where it has any."""
        shapes = {THETA: jax.ShapeDtypeStruct(self.space.shape, jnp.float32)}
        low, high = self.space.low, self.space.high
        known = bool(np.isfinite(low).all() and np.isfinite(high).all())
        bounds = ({THETA: low}, {THETA: high}) if known else None
        return ParameterSpec(shapes, bounds=bounds)

    def init(self, key: Array) -> Params:
        return {THETA: jnp.asarray(self.start, jnp.float32)}

    def initial_state(self) -> PolicyState:
        return ()

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        return state, params[THETA]


def parameter_policy(spec: EnvSpec) -> ParameterPolicy:
    """The policy for an environment.

    Raises:
      UserError: its actions are not real numbers, or it does not say where they start.
    """
    if not isinstance(spec.action_space, Box) or spec.initial_action is None:
        raise UserError(
            f"network: parameters is for unrolled problems, whose action is what is evolved; "
            f"{spec.name} is none, choose another network, such as mlp"
        )
    return ParameterPolicy(spec.action_space, spec.initial_action)


@dataclass(frozen=True, eq=False)
class ModulePolicy:
    """A module and a head.

    The module maps an observation's float32 values to the head's outputs. One that has an attribute
    `carry`, a pytree of arrays, is recurrent: it maps (carry, values) to (carry, outputs).

    Parameters are {"network": the module's, "head": the head's own (absent if none)}. The network's
    start as the module draws them or, with `zeros`, all at 0.
    """

    module: nn.Module
    head: Head
    observation_shape: tuple[int, ...]
    zeros: bool = False

    def init(self, key: Array) -> Params:
        variables = self.module.init(key, *self._start())
        network = nn.meta.unbox(variables.get("params", {}))
        params = {"network": jax.tree.map(jnp.zeros_like, network) if self.zeros else network}
        own = self.head.init()
        return {**params, "head": own} if own else params

    def initial_state(self) -> PolicyState:
        return carry_of(self.module)

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        state, output = self._apply(params["network"], state, observation.values)
        output = output.reshape(-1)
        return state, self.head.act(params.get("head", {}), output, observation.action_mask, key)

    @property
    def parameters(self) -> ParameterSpec:
        """What is evolved.

        Raises:
          UserError: the module cannot be called on an observation, keeps variables other than
            parameters or has none, or its output does not fit.
        """
        return self._parameters

    @cached_property
    def _parameters(self) -> ParameterSpec:
        name = type(self.module).__name__
        try:
            variables = jax.eval_shape(lambda: self.module.init(jax.random.key(0), *self._start()))
            if extra := sorted(set(variables) - {"params"}):
                raise UserError(
                    f"network {name}: it keeps {extra}; a policy may have parameters only"
                )
            shapes = jax.eval_shape(lambda: self.init(jax.random.key(0)))
            if not shapes["network"]:
                raise UserError(f"network {name}: it has no parameters to evolve")
            carried, output = jax.eval_shape(
                lambda network: self._apply(network, self.initial_state(), self._example()),
                shapes["network"],
            )
        except (FlaxError, TypeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise UserError(f"network {name}: it cannot be called: {reason}") from error
        if _layout(carried) != _layout(jax.eval_shape(self.initial_state)):
            raise UserError(f"network {name}: what it carries must keep its shapes and types")
        if not isinstance(output, jax.ShapeDtypeStruct):
            raise UserError(
                f"network {name}: it must give one array, not a {type(output).__name__}"
            )
        if output.size != self.head.outputs:
            raise UserError(
                f"network {name}: it has {output.size} outputs, the action head reads "
                f"{self.head.outputs}"
            )
        found, refused = find_matrices(self.module, shapes["network"], self._start)
        return ParameterSpec(shapes, found, refused)

    def _apply(
        self, network: Params, state: PolicyState, values: Array
    ) -> tuple[PolicyState, Array]:
        output = self.module.apply({"params": network}, *self._inputs(state, values))
        return output if is_recurrent(self.module) else (state, output)  # pyright: ignore[reportReturnType]

    def _inputs(self, state: PolicyState, values: Array) -> tuple[Any, ...]:
        return (state, values) if is_recurrent(self.module) else (values,)

    def _start(self) -> tuple[Any, ...]:
        """What the module is called with first. It is only traced: making it would compile."""
        return self._inputs(self.initial_state(), self._example())

    def _example(self) -> Array:
        return jnp.zeros(self.observation_shape, jnp.float32)


def _layout(tree: Any) -> Any:
    """The tree's structure, and the shape and type of each leaf."""
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def make_policy(config: PolicyConfig, spec: EnvSpec) -> Policy:
    """The policy that a sweep's settings describe, for an environment.

    Raises:
      UserError: the settings do not fit the environment, or name a module that is not there.
    """
    if config.network == "parameters":
        if config.init == "zeros":
            raise UserError("init: zeros is for networks; parameters start where the problem says")
        return parameter_policy(spec)
    head = make_head(config.head, spec.action_space)
    shape = spec.observation_shape
    common = {"outputs": head.outputs, "widths": config.widths, "activation": config.activation}
    if config.network == "mlp":
        module: nn.Module = MLP(**common)
    elif config.network == "linear":
        module = MLP(head.outputs, (), bias=False)
    elif config.network == "cnn":
        if len(shape) != 3:
            raise UserError(
                f"network: cnn needs images (height, width, channels); {spec.name} observes {shape}"
            )
        module = CNN(**common)
    elif config.network == "shared_mlp":
        if len(shape) != 2 or head.outputs % shape[0]:
            raise UserError(
                f"network: shared_mlp needs rows (n, features) and as many actions a row; "
                f"{spec.name} observes {shape} and reads {head.outputs} numbers"
            )
        module = SharedMLP(**{**common, "outputs": head.outputs // shape[0]})
    elif config.network == "gru":
        if not config.widths:
            raise UserError("widths: gru needs at least one, the width of its state")
        module = GRU(**common)
    else:
        module = _foreign(config.network, head.outputs)
    return ModulePolicy(module, head, shape, zeros=config.init == "zeros")


def _foreign(name: str, outputs: int) -> nn.Module:
    package, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(package), attribute)
    except Exception as error:  # whatever a module does when it is imported
        raise UserError(f"network: cannot load '{brief(name)}' ({short_reason(error)})") from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UserError(f"network: '{name}' is not a flax.linen.Module")
    try:
        return found(outputs=outputs)  # pyright: ignore[reportCallIssue]
    except TypeError as error:
        raise UserError(
            f"network: '{name}' must be made by {attribute}(outputs=...) alone ({error})"
        ) from None


class EmptyNetwork:
    """A policy without parameters; what is derived from it chooses actions."""

    parameters = ParameterSpec({})

    def init(self, key: Array) -> Params:
        return {}

    def initial_state(self) -> PolicyState:
        return ()


class UniformPolicy(EmptyNetwork):
    """Uniform over the allowed discrete actions, or over the box.

    Raises:
      UserError: the box has no bounds.
    """

    def __init__(self, spec: EnvSpec):
        space = spec.action_space
        if not isinstance(space, Discrete) and not np.isfinite([space.low, space.high]).all():
            raise UserError(f"{spec.name}: its actions have no bounds, so none are uniform")
        self._space = space

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        space = self._space
        if not isinstance(space, Discrete):
            low, high = jnp.asarray(space.low), jnp.asarray(space.high)
            return (), jax.random.uniform(key, space.shape, minval=low, maxval=high)
        head = Categorical(space.n)
        return (), head.act({}, jnp.zeros(space.n), observation.action_mask, key)
