"""The built-in networks, as Flax Linen modules: (carry, x) -> (carry, output).

Kernels start as N(0, 1) / sqrt(fan in), biases at zero, as in the EGGROLL paper (arXiv 2511.16652).
All but the CNN and the shared MLP flatten their observations.

A `Team` applies any of them, or another module, to the observation of each of several agents.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from rl_es.errors import UserError

KERNEL = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def pqn(x: Array) -> Array:
    """Returns the relu of a layer norm without parameters (eps 1e-5, biased variance)."""
    return nn.relu(nn.LayerNorm(epsilon=1e-5, use_bias=False, use_scale=False)(x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": jnp.tanh, "relu": nn.relu, "pqn": pqn}


class MLP(nn.Module):
    """Fully connected layers. Without hidden ones and with `bias=False` the network is linear."""

    outputs: int
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"
    bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [*observation_shape] -> [outputs]
        x = x.reshape(-1)
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        return nn.Dense(self.outputs, use_bias=self.bias, kernel_init=KERNEL)(x)


class SharedMLP(nn.Module):
    """Fully connected layers that map each row of an observation by itself.

    For learned optimisers: a row holds the features of one parameter that is optimised.
    """

    outputs: int  # of a row
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [rows, features] -> [rows, outputs]
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        return nn.Dense(self.outputs, kernel_init=KERNEL)(x)


class CNN(nn.Module):
    """One 3 x 3 convolution of 16 channels, then fully connected layers, for images [H, W, C]."""

    outputs: int
    widths: Sequence[int] = (64,)
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array) -> Array:  # [H, W, C] -> [outputs]
        x = nn.Conv(16, (3, 3), kernel_init=KERNEL)(x)
        x = ACTIVATIONS[self.activation](x)
        return MLP(self.outputs, self.widths, self.activation)(x)


class GRU(nn.Module):
    """Fully connected layers, then a gated recurrent unit of the last width, then the outputs."""

    outputs: int
    widths: Sequence[int] = (64, 64)
    activation: str = "tanh"

    @nn.compact
    def __call__(
        self, state: Array, x: Array
    ) -> tuple[Array, Array]:  # [W], [...] -> [W], [outputs]
        x = x.reshape(-1)
        for width in self.widths[:-1]:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=KERNEL)(x))
        state, x = nn.GRUCell(self.widths[-1], kernel_init=KERNEL)(state, x)
        return state, nn.Dense(self.outputs, kernel_init=KERNEL)(x)

    @property
    def carry(self) -> Array:
        """State at the start of an episode."""
        return jnp.zeros((self.widths[-1],), jnp.float32)


class Team(nn.Module):
    """A module on the observation of each agent of a team; agents share its parameters.

    The parameters are those of the module under the name of each network. The agents of a network
    are further rows of its products, as episodes are.

    Attributes:
      module: The module of one agent, which is copied for each network.
      networks: Name of each agent's network [I].
      observation_shape: Shape of the observations [I, ...].
      agent_id: Append to an observation's last axis a one-hot vector of the agent, of the length of
        the number of its network's agents, if there are several.
    """

    module: nn.Module
    networks: tuple[str, ...]
    observation_shape: tuple[int, ...]
    agent_id: bool = True

    @nn.compact
    def __call__(self, *inputs: Any) -> Any:  # [I, ...] -> [I, outputs]; with a carry before both
        *carry, values = inputs
        outputs = []
        groups = network_members(self.networks)
        for name, members in groups.items():
            network = self.module.clone(parent=self, name=name)
            rows = [*_take_rows(carry, members), self._identify(_take_rows(values, members))]
            apply = nn.vmap(
                lambda network, *rows: network(*rows),
                variable_axes={"params": None},
                split_rngs={"params": False},
            )
            outputs.append(apply(network, *rows))
        order = np.argsort(np.concatenate([*groups.values()])).tolist()
        return _take_rows(jax.tree.map(lambda *rows: jnp.concatenate(rows), *outputs), order)

    @property
    def carry(self) -> Any:
        """States of all agents at the start of an episode [I, ...]; () if there are none."""
        shape = agent_shapes(self.networks, self.observation_shape, self.agent_id)[0]
        count, carry = len(self.networks), carry_of(self.module, shape)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), carry)

    def _identify(self, values: Array) -> Array:
        """Returns the observations of a network's agents, with the agent if it is appended."""
        if not (size := _id_size(values.shape[0], self.agent_id)):
            return values
        ids = jnp.eye(size).reshape(size, *(1,) * (values.ndim - 2), size)
        return jnp.concatenate([values, jnp.broadcast_to(ids, (*values.shape[:-1], size))], -1)


def network_members(networks: tuple[str, ...]) -> dict[str, list[int]]:
    """Returns the numbers of the agents of each network, from the name of each agent's network."""
    return {
        name: [agent for agent, other in enumerate(networks) if other == name]
        for name in dict.fromkeys(networks)
    }


def agent_shapes(
    networks: tuple[str, ...], observation_shape: tuple[int, ...], agent_id: bool
) -> list[tuple[int, ...]]:
    """Returns the shapes of what a `Team` gives its networks of one agent, one for each network."""
    *rest, features = observation_shape[1:]
    sizes = [_id_size(len(agents), agent_id) for agents in network_members(networks).values()]
    return [(*rest, features + size) for size in sizes]


def _id_size(agents: int, agent_id: bool) -> int:
    return agents if agent_id and agents > 1 else 0


def _take_rows(tree: Any, rows: list[int]) -> Any:
    """Returns the rows of these numbers of leaves [I, ...]; the same leaves where these are all."""

    def take(leaf: Array) -> Array:
        return leaf if rows == [*range(leaf.shape[0])] else leaf[np.array(rows)]

    return jax.tree.map(take, tree)


def join_agents(values: Array) -> Array:
    """Returns the observations of all agents [I, ..., D] as one [..., I * D]."""
    joint = jnp.moveaxis(values, 0, -2)
    return joint.reshape(*joint.shape[:-2], -1)


def carry_of(module: nn.Module, observation_shape: tuple[int, ...]) -> Any:
    """Returns the initial state of a module; () if it is not recurrent.

    It is the module's `carry`, or that of `initialize_carry(rng, input_shape)`, which flax's own
    cells have.
    """
    if hasattr(module, "carry"):
        return module.carry  # pyright: ignore[reportAttributeAccessIssue]
    if _initialises_carry(module):
        return module.apply({}, jax.random.key(0), observation_shape, method="initialize_carry")
    return ()


def _initialises_carry(module: nn.Module) -> bool:
    """Tells whether a module has a method of that name: a static one lacks the module's sizes."""
    return inspect.isfunction(inspect.getattr_static(module, "initialize_carry", None))


def outputs_field(kind: type[nn.Module]) -> str | None:
    """Returns the field that takes the number of outputs; None if a class has no such field.

    It is the field `outputs`, or else the one field without a default.

    Raises:
      UserError: names the other fields without a default.
    """
    fields = [field for field in dataclasses.fields(kind)
              if field.init and field.name not in ("parent", "name")]  # fmt: skip
    required = [field.name for field in fields
                if field.default is field.default_factory is dataclasses.MISSING]  # fmt: skip
    has_outputs = any(field.name == "outputs" for field in fields)
    if excess := [field for field in required if field != "outputs"][0 if has_outputs else 1 :]:
        raise UserError(
            f"network {kind.__name__}: it must be made from the number of its outputs alone; write "
            f"a default for {', '.join(excess)}"
        )
    return "outputs" if has_outputs else next(iter(required), None)


def check_inputs(module: nn.Module) -> None:
    """Refuses a module that takes more than an observation and the carry that it starts with.

    Raises:
      UserError: names the arguments, and what to write.
    """
    name = type(module).__name__
    if not callable(module):
        raise UserError(f"network {name}: it cannot be called; write def __call__(self, x)")
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.__call__).parameters.values()
    required = [p.name for p in parameters if p.kind in kinds and p.default is p.empty]
    # A property is not called: it would compute the carry.
    has_carry = inspect.getattr_static(module, "carry", None) is not None
    is_recurrent = has_carry or _initialises_carry(module)
    if len(required) > (2 if is_recurrent else 1):
        remedy = f"give all but {'the carry and ' if is_recurrent else ''}the observation a default"
        if len(required) == 2:
            remedy += "; or, if it is recurrent, write def initialize_carry(self, rng, input_shape)"
        raise UserError(f"network {name}: it is called with ({', '.join(required)}); {remedy}")
