"""Compiles what a group of runs needs to a `Program`: functions of host arrays with a lane axis.

Lanes are runs that share the program; they differ in seed and traced settings. With one lane a
device its functions are called run after run; with more lanes they are vmapped, and each lane stops
at its own limit. A `Placement` says where lanes and populations lie. Random keys inside a state are
carried as integers, so that a state can be saved as it is.

What several agents of an environment share is compiled once: initial parameters and evaluation.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import jax
import jax.numpy as jnp

from rl_es.interfaces import Learner, Limit, Rows, Snapshot
from rl_es.training.compilation import (
    CompiledFunction,
    LoweredFunction,
    data_to_keys,
    key_for_evaluation,
    keys_to_data,
    lower_function,
    lower_with_outputs,
    suppress_loader_messages,
    vmap_lanes,
)
from rl_es.training.export_cache import Exporter
from rl_es.training.sharding import ONE_DEVICE, Placement

MAX_EVALUATION_PROGRAMS = 8  # programs that are kept for further groups

State = Any  # a learner's state with a leading lane axis, keys as integers


@dataclass
class Program:
    """The compiled functions of a group.

    Attributes:
      lanes: number of runs that each call handles (L).
      init: (seeds [L] uint32, settings {name: [L]}) -> state.
      advance: (state, Limit of [L] each) -> (state, Rows of [L] each). Consumes the state.
      snapshot: state -> Snapshot, leaves [L, ...].
      evaluate: (seeds [L] uint32, Snapshot) -> returns [L, E].
      compile_seconds: time of the whole compilation, tracing included.
      trace_seconds: time of tracing, which no cache saves.
      memory_bytes: memory of the largest of its functions, by XLA's own account.
      compilations: number of functions that were compiled for it.
      state_shape: shapes of the state.
    """

    lanes: int
    init: Callable[..., State]
    advance: Callable[..., tuple[State, Rows]]
    snapshot: Callable[[State], Snapshot]
    evaluate: Callable[..., Any]
    compile_seconds: float
    trace_seconds: float
    memory_bytes: int
    compilations: int
    state_shape: Any = field(repr=False)


@dataclass(frozen=True)
class Exporters:
    """How the functions of a group are exported; None: they are not, and traced at every start.

    Attributes:
      advance: of the function that runs generations.
      evaluate: of the evaluation.
    """

    advance: Exporter | None = None
    evaluate: Exporter | None = None


class Compiler:
    """Compiles learners, and shares among learners of equal policies what they have in common.

    Only the latest shared programs are kept, so that memory does not grow with the length of a
    sweep: its groups come environment by environment.
    """

    def __init__(self) -> None:
        """Starts without shared programs."""
        self._shared: dict[Any, dict[str, CompiledFunction]] = {}  # the latest last

    def compile(
        self,
        learner: Learner,
        settings: Mapping[str, float],
        lanes: int,
        evaluate: Callable[..., Any],
        evaluation_key: Any,
        placement: Placement = ONE_DEVICE,
        exporters: Exporters = Exporters(),
    ) -> Program:
        """Compiles a group's functions, one in a thread while the next is traced.

        Args:
          learner: built for this number of lanes (`lane_axis`) and this placement.
          settings: the traced settings, for their names.
          lanes: runs handled at once; a multiple of the devices that share them.
          evaluate: (key, Snapshot) -> returns [E], of one lane.
          evaluation_key: hashable; groups with an equal key, of equal policies, share programs.
          placement: the devices of the group.
          exporters: how its functions are exported.
        """
        start = time.perf_counter()
        group = _GroupFunctions(learner, settings, lanes, placement)
        shared = self._shared_programs((evaluation_key, lanes, placement.runs, placement.shards))
        with suppress_loader_messages():
            results = {"init": group.init.compile_in_thread()}
            if group.params is not None and "params" not in shared:
                results["params"] = group.lower_params().compile_in_thread()
            results["advance"] = group.lower_advance(exporters.advance).compile_in_thread()
            if "evaluate" not in shared:
                evaluation = group.lower_evaluation(evaluate, exporters.evaluate).compile()
                results["evaluate"] = lambda: evaluation
            new = {name: result() for name, result in results.items()}
        shared |= {name: new[name] for name in ("params", "evaluate") if name in new}
        programs = {**shared, **new}

        def call(name: str, *shapes: Any) -> Callable[..., Any]:
            return placement.accept_host_arrays(programs[name].call, *shapes)

        init = call("init", group.seeds, group.hyper, group.params)
        params = None if group.params is None else call("params", group.seeds)
        return Program(
            lanes,
            init=lambda seeds, hyper: init(seeds, hyper, params and params(seeds)),
            advance=call("advance", group.state, group.limit),
            snapshot=learner.snapshot,
            evaluate=call("evaluate", group.seeds, group.snapshot),
            compile_seconds=time.perf_counter() - start,
            trace_seconds=sum(function.trace_seconds for function in new.values()),
            memory_bytes=max(function.memory_bytes for function in programs.values()),
            compilations=len(new),
            state_shape=group.state,
        )

    def _shared_programs(self, key: Any) -> dict[str, CompiledFunction]:
        """Makes the shared programs of a key the latest and returns them; drops the oldest."""
        programs = self._shared[key] = self._shared.pop(key, {})
        for oldest in list(self._shared)[:-MAX_EVALUATION_PROGRAMS]:
            del self._shared[oldest]
        return programs


class _GroupFunctions:
    """The functions of a group over its lanes and devices, and the shapes of their arguments.

    A function that may be exported takes and returns the leaves of its pytrees: their classes would
    have to be declared to `jax.export`.

    Attributes:
      seeds: shape of the runs' seeds [L].
      hyper: shapes of their traced settings, {name: [L]}.
      limit: shape of the `Limit` of a call, [L] each.
      params: shapes of the initial parameters, which learners of equal policies share; None for a
        learner without `initial_params`.
      init: the function (seeds, hyper, params) that starts the runs, lowered. Tracing it gives the
        shapes of the state.
      state: shapes of the learner's state, keys as integers.
      snapshot: shapes of the snapshot that is evaluated.
    """

    def __init__(
        self, learner: Learner, settings: Mapping[str, float], lanes: int, placement: Placement
    ):
        self._learner, self._placement = learner, placement
        self._device_lanes = lanes // placement.runs
        self._lane_state: Any = None  # types of one lane's state, before keys became integers

        def lane_array(dtype: Any) -> Any:
            return placement.with_shardings(jax.ShapeDtypeStruct((lanes,), dtype), False)

        self.seeds = lane_array(jnp.uint32)
        self.hyper = {name: lane_array(jnp.float32) for name in settings}
        self.limit = Limit(lane_array(jnp.int32), lane_array(jnp.int32))
        pairwise = learner.pairwise

        self.params: Any = None
        if hasattr(learner, "initial_params"):
            shapes = learner.policy.parameters.shapes  # pyright: ignore[reportAttributeAccessIssue]
            lane_shapes = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((lanes, *leaf.shape), leaf.dtype), shapes
            )
            self.params = placement.with_shardings(lane_shapes, False)

        def start(seed: Any, hyper: Any, params: Any) -> Any:
            shared = () if params is None else (params,)
            state = learner.init(jax.random.key(seed), hyper, *shared)
            self._lane_state = jax.tree.map(jax.typeof, state)
            return keys_to_data(state)

        over_lanes = self._over_lanes(start, (False, False, False), pairwise)
        self.init, state = lower_with_outputs(over_lanes, self.seeds, self.hyper, self.params)
        self.state = placement.with_shardings(state, pairwise)
        snapshot = jax.eval_shape(learner.snapshot, self.state)
        self.snapshot = placement.with_shardings(snapshot, False)

    def _over_lanes(
        self, function: Callable[..., Any], inputs: Any, outputs: Any
    ) -> Callable[..., Any]:
        lanes = vmap_lanes(function, self._device_lanes)
        return self._placement.shard_map(lanes, inputs, outputs)

    def lower_params(self) -> LoweredFunction:
        def draw(seed: Any) -> Any:
            return self._learner.initial_params(jax.random.key(seed))  # pyright: ignore

        return lower_function(self._over_lanes(draw, (False,), False), self.seeds)

    def lower_advance(self, exporter: Exporter | None) -> LoweredFunction:
        def advance(state: Any, limit: Limit) -> Any:
            state, rows = self._learner.advance(data_to_keys(state, self._lane_state), limit)
            return keys_to_data(state), rows

        pairwise = self._learner.pairwise
        over_lanes = self._over_lanes(advance, (pairwise, False), (pairwise, False))
        structure = jax.tree.structure(self.state)
        names = [field.name for field in fields(Rows)]

        def advance_leaves(leaves: list[Any], limit: tuple[Any, Any]) -> Any:
            state, rows = over_lanes(structure.unflatten(leaves), Limit(*limit))
            return jax.tree.leaves(state), {name: getattr(rows, name) for name in names}

        def adapt(call: Callable[..., Any]) -> Callable[..., Any]:
            def advance_state(state: Any, limit: Limit) -> tuple[Any, Rows]:
                leaves, rows = call(jax.tree.leaves(state), tuple(limit))
                return structure.unflatten(leaves), Rows(**rows)

            return advance_state

        shapes = jax.tree.leaves(self.state), tuple(self.limit)
        lowered = lower_function(advance_leaves, *shapes, donate=(0,), exporter=exporter)
        return replace(lowered, adapt=adapt)

    def lower_evaluation(
        self, evaluate: Callable[..., Any], exporter: Exporter | None
    ) -> LoweredFunction:
        def evaluate_seed(seed: Any, snapshot: Snapshot) -> Any:
            return evaluate(key_for_evaluation(seed), snapshot)

        over_lanes = self._over_lanes(evaluate_seed, (False, False), False)
        structure = jax.tree.structure(self.snapshot)

        def evaluate_leaves(seeds: Any, leaves: list[Any]) -> Any:
            return over_lanes(seeds, structure.unflatten(leaves))

        def adapt(call: Callable[..., Any]) -> Callable[..., Any]:
            return lambda seeds, snapshot: call(seeds, jax.tree.leaves(snapshot))

        shapes = self.seeds, jax.tree.leaves(self.snapshot)
        return replace(lower_function(evaluate_leaves, *shapes, exporter=exporter), adapt=adapt)
