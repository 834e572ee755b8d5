"""Policies: a Flax Linen module with an action head, a parameter vector, or uniform chance.

`ModulePolicy` applies any module to an observation; `rl_es.evolution.linen` finds which of its
arrays can be perturbed as matrices.
`ParameterPolicy` is its own action. It is for unrolled problems (`envs/unrolled.py`), where a step
of the environment is a step of an inner computation, and the action is that computation's
parameters.
`UniformPolicy` takes every allowed action with the same probability.

In an environment of several agents, each agent acts by the module and the head of one agent, on its
own observation (`Team`, `TeamHead`). Which agents share parameters is a setting.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.errors import FlaxError
from jax import Array

from rl_es import plugins
from rl_es.errors import UserError, short_reason, source_line
from rl_es.evolution.linen import find_matrices, reduce_products
from rl_es.interfaces import (
    Box,
    Discrete,
    EnvSpec,
    Observation,
    ParameterSpec,
    Params,
    Policy,
    PolicyState,
    Snapshot,
)
from rl_es.rollout.config import PolicyConfig, Precision
from rl_es.rollout.egg import make_egg
from rl_es.rollout.gru_lm import make_gru_lm
from rl_es.rollout.heads import Categorical, Head, TeamHead, make_head, stochastic
from rl_es.rollout.networks import (
    CNN,
    GRU,
    MLP,
    SharedMLP,
    Team,
    agent_shapes,
    carry_of,
    check_inputs,
    outputs_field,
)
from rl_es.rollout.rwkv7 import make_rwkv7

THETA = "theta"
SEVERAL_AGENTS: dict[str, Any] = {"sharing": "all", "agent_id": True}  # settings, and defaults
LANGUAGE_MODELS = {"egg": make_egg, "gru_lm": make_gru_lm, "rwkv7": make_rwkv7}


@dataclass(frozen=True, eq=False)
class ParameterPolicy:
    """A policy whose action is its parameter vector, whatever it observes."""

    space: Box
    start: tuple[float, ...]

    @property
    def parameters(self) -> ParameterSpec:
        """Description of {"theta": [A]}, within the action's bounds if it has any."""
        shapes = {THETA: jax.ShapeDtypeStruct(self.space.shape, jnp.float32)}
        low, high = self.space.low, self.space.high
        has_bounds = bool(np.isfinite(low).all() and np.isfinite(high).all())
        bounds = ({THETA: low}, {THETA: high}) if has_bounds else None
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
    """Returns the policy that is its own action in an environment.

    Raises:
      UserError: the actions are not real numbers, or the environment states no initial one.
    """
    if not isinstance(spec.action_space, Box) or spec.initial_action is None:
        raise UserError(
            f"network: parameters is for unrolled problems, whose action is what is evolved; "
            f"{spec.name} is none, choose another network, such as mlp"
        )
    return ParameterPolicy(spec.action_space, spec.initial_action)


@dataclass(frozen=True, eq=False)
class ModulePolicy:
    """A module and an action head.

    The module maps the float32 values of one observation, without a batch axis, to the head's
    outputs. A module with an attribute `carry`, a pytree of arrays, or with flax's
    `initialize_carry(rng, input_shape)` is recurrent: it maps (carry, values) to (carry, outputs).

    The parameters are {"network": the module's, "head": the head's, absent if it has none}.

    Attributes:
      module: The module.
      head: The action head.
      observation_shape: Shape of an observation's values.
      zeros: Start with all parameters of the network at 0, not as the module draws them.
      start: Returns the snapshot of a saved policy to start from, given the shapes of parameters
        and the head's initial ones; None to draw them.
      precision: Of the module's products with its weight matrices.
    """

    module: nn.Module
    head: Head
    observation_shape: tuple[int, ...]
    zeros: bool = False
    start: Callable[[Params, Params], Snapshot] | None = None
    precision: Precision = "float32"

    def init(self, key: Array) -> Params:
        start = self.start_snapshot
        return self._draw(key) if start is None else jax.tree.map(jnp.asarray, start.params)

    @cached_property
    def start_snapshot(self) -> Snapshot | None:
        """The parameters and statistics of the saved policy to start from, if there is one.

        Raises:
          UserError: it cannot be read, or has another layout.
        """
        if self.start is None:
            return None
        return self.start(self.parameters.shapes, self.head.init())

    def _draw(self, key: Array) -> Params:
        variables = self.module.init(key, *self._example_inputs())
        network = nn.meta.unbox(variables.get("params", {}))
        params = {"network": jax.tree.map(jnp.zeros_like, network) if self.zeros else network}
        head = self.head.init()
        return {**params, "head": head} if head else params

    def initial_state(self) -> PolicyState:
        return carry_of(self.module, self.observation_shape)

    def apply(
        self, network: Params, state: PolicyState, values: Array
    ) -> tuple[PolicyState, Array]:
        """Returns the next state and the network's output for the values of an observation."""
        with reduce_products(self.precision):
            output = self.module.apply({"params": network}, *self._inputs(state, values))
        return output if jax.tree.leaves(state) else (state, output)  # pyright: ignore[reportReturnType]

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        state, output = self.apply(params["network"], state, observation.values)
        output = output.reshape(-1)
        return state, self.head.act(params.get("head", {}), output, observation.action_mask, key)

    @property
    def parameters(self) -> ParameterSpec:
        """Description of the parameters.

        Raises:
          UserError: the module cannot be called on an observation, has variables other than
            parameters or no parameters, or its output does not fit the head.
        """
        return self._parameters

    @cached_property
    def _parameters(self) -> ParameterSpec:
        name = type(self.module).__name__
        check_inputs(self.module)
        try:
            variables = jax.eval_shape(
                lambda: self.module.init(jax.random.key(0), *self._example_inputs())
            )
            if extra := sorted(set(variables) - {"params"}):
                raise UserError(
                    f"network {name}: it keeps {extra}; a policy may have parameters only: "
                    "write layers without running statistics, such as LayerNorm"
                )
            shapes = jax.eval_shape(lambda: self._draw(jax.random.key(0)))
            if not shapes["network"]:
                raise UserError(f"network {name}: it has no parameters to evolve")
            _check_types(name, shapes["network"])
            state, output = jax.eval_shape(
                lambda network: self.apply(network, self.initial_state(), self._example_values()),
                shapes["network"],
            )
        except UserError:
            raise
        except Exception as error:  # a module may raise anything
            kinds = (FlaxError, TypeError, ValueError)
            kind = "" if isinstance(error, kinds) else f"{type(error).__name__}: "
            reason = f"{kind}{short_reason(error)}{source_line(error)}"
            raise UserError(f"network {name}: it cannot be called: {reason}") from error
        if _layout(state) != _layout(jax.eval_shape(self.initial_state)):
            raise UserError(f"network {name}: what it carries must keep its shapes and types")
        if not isinstance(output, jax.ShapeDtypeStruct):
            raise UserError(
                f"network {name}: it must give one array, not a {type(output).__name__}; "
                f"return the {self.head.outputs} numbers that the action head reads"
            )
        if output.size != self.head.outputs:
            remedy = ""
            if output.ndim != 1:
                remedy = (
                    f"; flatten by x.reshape(-1): an observation is {self.observation_shape}, "
                    "without a batch axis"
                )
            elif not hasattr(self.module, "outputs"):
                remedy = "; write a field outputs: int, which is given that number"
            raise UserError(
                f"network {name}: it has {output.size} outputs, the action head reads "
                f"{self.head.outputs}{remedy}"
            )
        matrices, refusals = find_matrices(self.module, shapes["network"], self._example_inputs)
        if self.precision != "float32" and (refusals or not matrices):
            reason = next(iter(refusals.values()), "it has no matrices, as those of nn.Dense are")
            raise UserError(
                f"network {name}: precision: {self.precision} cannot treat it: {reason}"
            )
        return ParameterSpec(shapes, matrices, refusals)

    def _inputs(self, state: PolicyState, values: Array) -> tuple[Any, ...]:
        return (state, values) if jax.tree.leaves(state) else (values,)

    def _example_inputs(self) -> tuple[Any, ...]:
        """Returns arguments for the module. Call it in a trace only: outside it would compile."""
        return self._inputs(self.initial_state(), self._example_values())

    def _example_values(self) -> Array:
        return jnp.zeros(self.observation_shape, jnp.float32)


def trainable_network(policy: Policy, agent: str) -> ModulePolicy:
    """Returns a policy as a network, for an agent that differentiates it.

    Raises:
      UserError: the policy is no network, does not fit, or starts where it has no gradient.
    """
    if not isinstance(policy, ModulePolicy):
        raise UserError(f"{agent}: it trains a network; choose another than network: parameters")
    _ = policy.parameters  # refuses a network that does not fit
    if policy.zeros:
        raise UserError(
            f"{agent}: from init: zeros no gradient reaches hidden layers; leave it out"
        )
    return policy


def sampling_network(policy: Policy, agent: str) -> ModulePolicy:
    """Returns a network with the sampling form of its head, for an agent that differentiates it.

    Raises:
      UserError: as `trainable_network`, or the head has no sampling form.
    """
    network = trainable_network(policy, agent)
    return replace(network, head=stochastic(network.head))


def _check_types(name: str, network: Params) -> None:
    """Refuses parameters that noise cannot be added to as the algorithms say.

    Raises:
      UserError: names the first parameter that is not float32.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(network):
        if leaf.dtype != jnp.float32:
            parameter = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(
                f"network {name}: parameter {parameter} is {leaf.dtype}, and only float32 is "
                "evolved; write param_dtype=jnp.float32 (dtype, of the computation, may differ)"
            )


def _layout(tree: Any) -> Any:
    """Returns a tree's structure, and the shape and dtype of each leaf."""
    return jax.tree.structure(tree), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def make_policy(config: PolicyConfig, spec: EnvSpec) -> Policy:
    """Returns the policy that a sweep's settings describe, for an environment.

    Raises:
      UserError: the settings do not fit the environment, or name a module that does not exist.
    """
    if spec.agents:
        return _make_team(config, spec)
    for name, default in SEVERAL_AGENTS.items():
        if getattr(config, name) != default:
            raise UserError(f"{name}: {spec.name} has one agent; leave it out")
    if config.network == "parameters":
        if config.init != "normal":
            raise UserError(
                f"init: {config.init} is for networks; parameters start where the problem says"
            )
        if config.precision != "float32":
            raise UserError(
                f"precision: {config.precision} is for networks; parameters have no products"
            )
        return parameter_policy(spec)
    _check_precision(config.precision)
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
    elif config.network in LANGUAGE_MODELS:
        module = LANGUAGE_MODELS[config.network](config, spec, head.outputs)
    else:
        module = _import_network(config.network, head.outputs)
    zeros = config.init == "zeros"
    return ModulePolicy(module, head, shape, zeros=zeros, precision=config.precision)


def _make_team(config: PolicyConfig, spec: EnvSpec) -> ModulePolicy:
    """Returns the policy of several agents: that of one agent, on each agent's observation.

    Raises:
      UserError: the settings do not fit one agent, or the team has no network.
    """
    if config.network == "parameters":
        raise UserError(f"network: parameters is for one agent; {spec.name} has {len(spec.agents)}")
    networks = spec.agents if config.sharing == "roles" else ("shared",) * len(spec.agents)
    alone = config.model_copy(update=SEVERAL_AGENTS)
    policies = [
        make_policy(alone, replace(spec, observation_shape=shape, agents=()))
        for shape in agent_shapes(networks, spec.observation_shape, config.agent_id)
    ]
    for policy in policies:
        _ = policy.parameters  # refuses a network that does not fit one agent
    first = cast(ModulePolicy, policies[0])
    module = Team(first.module, networks, spec.observation_shape, config.agent_id)
    head = TeamHead(first.head, networks)
    return ModulePolicy(
        module, head, spec.observation_shape, zeros=first.zeros, precision=first.precision
    )


def supported_precision(precision: Precision, backend: str) -> Precision:
    """Returns a precision, or float32 where a backend of jax (cpu, gpu, tpu) does not have it."""
    return "float32" if precision == "tf32" and backend != "gpu" else precision


def _check_precision(precision: Precision) -> None:
    """Refuses a precision that jax's backend does not have.

    Raises:
      UserError: it is tf32, and the backend is no GPU.
    """
    backend = jax.default_backend()
    if supported_precision(precision, backend) != precision:
        raise UserError(
            f"precision: {precision} is for GPUs, and jax runs on {backend} here; write float32 or "
            "bfloat16"
        )


def _import_network(name: str, outputs: int) -> nn.Module:
    """Returns an instance of the module class that a reference names.

    A class without a field for the number of outputs is made by itself, and has those that it has.
    """
    try:
        module, _ = plugins.load(name)
    except UserError as error:
        raise UserError(f"network: {error}") from None
    if not (isinstance(module, type) and issubclass(module, nn.Module)):
        raise UserError(
            f"network: '{name}' is not a flax.linen.Module; write: class {plugins.short_name(name)}"
            "(flax.linen.Module), also for one of flax.nnx"
        )
    field = outputs_field(module)
    arguments = {} if field is None else {field: outputs}
    try:
        return module(**arguments)
    except Exception as error:  # a module may raise anything
        call = "" if field is None else f"{field}={outputs}"
        raise UserError(
            f"network: '{name}' cannot be made by {module.__name__}({call}): {short_reason(error)}"
            f"{source_line(error)}"
        ) from None


class EmptyNetwork:
    """A policy without parameters; its subclasses choose actions."""

    parameters = ParameterSpec({})

    def init(self, key: Array) -> Params:
        return {}

    def initial_state(self) -> PolicyState:
        return ()


class UniformPolicy(EmptyNetwork):
    """A policy that is uniform over the allowed discrete actions, or over the box.

    Raises:
      UserError: the box has no bounds.
    """

    def __init__(self, spec: EnvSpec):
        space = spec.action_space
        if not isinstance(space, Discrete) and not np.isfinite([space.low, space.high]).all():
            raise UserError(f"{spec.name}: its actions have no bounds, so none are uniform")
        self._space, self._shape = space, spec.action_shape

    def act(
        self, params: Params, state: PolicyState, observation: Observation, key: Array
    ) -> tuple[PolicyState, Array]:
        space, shape = self._space, self._shape
        if not isinstance(space, Discrete):
            low, high = (jnp.broadcast_to(bound, shape) for bound in (space.low, space.high))
            return (), jax.random.uniform(key, shape, minval=low, maxval=high)
        head: Head = Categorical(space.n)
        if shape:
            head = TeamHead(head, ("",) * shape[0])
        return (), head.act({}, jnp.zeros(head.outputs), observation.action_mask, key)
