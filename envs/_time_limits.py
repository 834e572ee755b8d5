"""A time limit that an environment's ends include, read from the program of its step.

People count steps under any name (`period`, `info["step"]`, a clock in seconds), and end at a
number of any name. What makes an end a time limit is that it is known in advance. The clock of a
state is the part that starts the same from every key, and goes on whatever the key and the actions
are. An end that depends on the clock alone is a time limit: it is told as a truncation, and can be
lifted.

`done` is a disjunction such as `fallen | (period >= 30)`. The step is traced, the conditions that
`done` joins are visited, and those that read the clock alone are held at False. No physics is
compiled for it: only the clock runs, until the first of these conditions holds. Rewards and
observations stay those of the environment, such as a penalty for running out of time.

A limit inside a loop, a branch of `lax.cond` or a negated conjunction is not visited: that end
stays a termination.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from rl_es.interfaces import Discrete, Environment, EnvState, Observation, Transition
from rl_es.rollout.wrappers import TimeLimit

MOST_STEPS = 100_000  # that a clock runs in search of a limit
CALLS = ("jit", "pjit")
DISJUNCTIONS = ("or", "max", "reduce_or", "reduce_max", "concatenate")
CONVERSIONS = ("convert_element_type", "reshape", "squeeze", "broadcast_in_dim", "copy")


class Operation(NamedTuple):
    """An equation of a program, with the numbers of the values that it reads and makes."""

    equation: JaxprEqn
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.equation.primitive.name


class Dataflow:
    """A traced function: one list of operations on numbered values, nested calls unfolded.

    Attributes:
      inputs: Numbers of the arguments' leaves.
      result: What the function returns, with numbers in place of arrays.
      constants: Values that the function closes over, by number.
      kinds: The shape and dtype of a value, by its number.
      makers: The operation that makes a value, by its number.
      sources: The numbers of the arguments that a value depends on, by its number.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any):
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        self._numbers = itertools.count()
        self._operations: list[Operation] = []
        self.constants: dict[int, Any] = {}
        self.kinds: dict[int, Any] = {}
        self.makers: dict[int, Operation] = {}
        self.inputs = [next(self._numbers) for _ in traced.jaxpr.invars]
        self.sources = {number: frozenset((number,)) for number in self.inputs}
        self.kinds.update(zip(self.inputs, traced.in_avals, strict=True))
        outputs = self._unfold(traced.jaxpr, traced.consts, self.inputs)
        self.result = jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    def run(self, results: Sequence[int], fixed_values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns values by number: those fixed, these results, and what they are computed from.

        No operation is in vain.
        """
        values = {**self.constants, **fixed_values}
        targets, operations = set(results), []
        for operation in reversed(self._operations):
            if not targets.isdisjoint({*operation.outputs} - values.keys()):
                operations.append(operation)
                targets.update(operation.inputs)
        for equation, inputs, outputs in reversed(operations):
            functions, parameters = equation.primitive.get_bind_params(equation.params)
            outcome = equation.primitive.bind(
                *functions, *(values[number] for number in inputs), **parameters
            )
            outcome = outcome if equation.primitive.multiple_results else [outcome]
            for number, value in zip(outputs, outcome, strict=True):
                values.setdefault(number, value)
        return values

    def dependents(self, numbers: Sequence[int]) -> set[int]:
        """Returns these numbers, and those of all values that are computed from them."""
        dependents = set(numbers)
        for operation in self._operations:
            if not dependents.isdisjoint(operation.inputs):
                dependents.update(operation.outputs)
        return dependents

    def _unfold(self, jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[int]) -> list[int]:
        numbers: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        numbers |= {
            variable: self._constant(value)
            for variable, value in zip(jaxpr.constvars, constants, strict=True)
        }

        def number(atom: Any) -> int:
            return self._constant(atom.val) if isinstance(atom, Literal) else numbers[atom]

        for equation in jaxpr.eqns:
            read = tuple(map(number, equation.invars))
            if equation.primitive.name in CALLS:
                called = equation.params["jaxpr"]
                outcome = self._unfold(called.jaxpr, called.consts, read)
            else:
                outcome = [next(self._numbers) for _ in equation.outvars]
                operation = Operation(equation, read, tuple(outcome))
                self._operations.append(operation)
                self.kinds.update(
                    (n, v.aval) for n, v in zip(outcome, equation.outvars, strict=True)
                )
                self.makers.update(dict.fromkeys(outcome, operation))
                sources = frozenset().union(*(self.sources[n] for n in read))
                self.sources.update(dict.fromkeys(outcome, sources))
            numbers.update(zip(equation.outvars, outcome, strict=True))
        return [number(atom) for atom in jaxpr.outvars]

    def _constant(self, value: Any) -> int:
        number = next(self._numbers)
        self.constants[number], self.sources[number] = value, frozenset()
        return number


def tell_limit(env: Environment) -> Environment:
    """Returns an environment of no stated limit with the limit that its ends include, if any.

    Its limit is then a truncation, and another `TimeLimit` may lengthen it. An environment that
    truncates for another reason as well is returned as it is: `TimeLimit` knows no other.
    """
    key, space = jax.random.key(0), env.spec.action_space
    action = np.int32(0) if isinstance(space, Discrete) else np.zeros(space.shape, np.float32)
    reset = Dataflow(lambda key: env.reset(key)[0], key)
    state = jax.eval_shape(env.reset, key)[0]
    step = Dataflow(env.step, key, state, action)
    leaves = step.inputs[1 : 1 + len(jax.tree.leaves(state))]
    clock = _clock(reset, step, leaves)
    readings = frozenset(leaves[i] for i in clock)

    def reads_the_clock_alone(number: int) -> bool:
        return bool(step.sources[number]) and step.sources[number] <= readings

    terminations = [
        number
        for number in _conditions(step, step.result.terminated, readings)
        if reads_the_clock_alone(number) and _is_logical(step, number)
    ]
    truncations = _truncations(step, readings)
    ends = terminations or truncations
    if not ends or len(truncations) > 1 or not all(map(reads_the_clock_alone, truncations)):
        return env
    limit = _first_end(reset, step, {i: leaves[i] for i in clock}, ends)
    if limit is None:
        return env
    paths = jax.tree_util.tree_leaves_with_path(state)
    read = frozenset().union(*(step.sources[number] for number in ends))
    names = sorted(
        jax.tree_util.keystr(paths[i][0], simple=True, separator=".")
        for i in clock
        if leaves[i] in read
    )
    note = f"limit {limit:,}: every episode ends by then, by {', '.join(names)} of its state"
    spec = dataclasses.replace(env.spec, notes=(note, *env.spec.notes[1:]))
    return TimeLimit(_LiftedLimit(env, spec, step, terminations), limit)


class _LiftedLimit:
    """An environment in which some conditions of its step do not end an episode."""

    def __init__(self, env: Environment, spec: Any, program: Dataflow, conditions: list[int]):
        self.env, self.spec = env, spec
        self._program, self._conditions = program, conditions
        self._dependents = program.dependents(conditions)

    def reset(self, key: Array) -> tuple[EnvState, Observation]:
        return self.env.reset(key)

    def step(self, key: Array, state: EnvState, action: Array) -> Transition:
        program = self._program
        values = dict(zip(program.inputs, jax.tree.leaves((key, state, action)), strict=True))
        numbers, structure = jax.tree.flatten(program.result)
        stated = program.run(numbers, values)
        # What does not depend on the conditions is computed once.
        values = {n: value for n, value in stated.items() if n not in self._dependents}
        for number in self._conditions:
            values[number] = jnp.zeros(program.kinds[number].shape, program.kinds[number].dtype)
        lifted = program.run(numbers, values)
        before, after = (
            jax.tree.unflatten(structure, [values[number] for number in numbers])
            for values in (stated, lifted)
        )
        return after._replace(observation=before.observation, reward=before.reward)


def _clock(reset: Dataflow, step: Dataflow, leaves: list[int]) -> list[int]:
    """Returns the positions of the state's leaves that go by themselves: the largest such set."""
    starts, nexts = jax.tree.leaves(reset.result), jax.tree.leaves(step.result.state)
    clock = [i for i, number in enumerate(starts) if not reset.sources[number]]
    while True:
        readings = {leaves[i] for i in clock}
        smaller = [i for i in clock if step.sources[nexts[i]] <= readings]
        if smaller == clock:
            return clock
        clock = smaller


def _conditions(program: Dataflow, number: int, readings: frozenset[int]) -> Iterator[int]:
    """Yields the values of which `number` is the disjunction, those of the clock undivided."""
    operation = program.makers.get(number)
    if operation is None or program.sources[number] <= readings:
        yield number
        return
    for operand in _operands(program, operation):
        yield from _conditions(program, operand, readings)


def _operands(program: Dataflow, operation: Operation) -> tuple[int, ...]:
    """Returns the operands that each make an operation's result true if they are true."""
    first, *others = operation.inputs
    if operation.name in (*DISJUNCTIONS, *CONVERSIONS):
        return operation.inputs
    if operation.name == "add" and all(_is_logical(program, n) for n in operation.inputs):
        return operation.inputs
    if operation.name in ("ne", "gt") and _is_constant(program, others[0], 0):
        return (first,)
    if operation.name == "min" and any(_is_constant(program, n, 1) for n in operation.inputs):
        return operation.inputs  # clipped
    if operation.name == "select_n" and len(others) == 2 and _is_constant(program, others[1], 1):
        return first, others[0]  # where(first, 1, others[0])
    return ()


def _is_logical(program: Dataflow, number: int) -> bool:
    """Tells whether a value is a bool, or is made from bools so that it is 0 or above as they are.

    Other numbers, such as the `t - 100` in `x + t - 100 > 0`, end nothing by being nonzero.
    """
    if number in program.constants:
        return _is_constant(program, number, 0) or _is_constant(program, number, 1)
    operation = program.makers.get(number)
    if program.kinds[number].dtype == bool:
        return True
    if operation is None:
        return False
    operands = operation.inputs[1:] if operation.name == "select_n" else operation.inputs
    names = ("select_n", "add", "mul", "min", *DISJUNCTIONS, *CONVERSIONS)
    return operation.name in names and all(_is_logical(program, n) for n in operands)


def _is_constant(program: Dataflow, number: int, value: float) -> bool:
    while (operation := program.makers.get(number)) and operation.name in CONVERSIONS:
        (number,) = operation.inputs
    constant = program.constants.get(number)
    return constant is not None and np.shape(constant) == () and constant == value


def _truncations(program: Dataflow, readings: frozenset[int]) -> list[int]:
    """Returns the values of which the truncation is the conjunction, but for `~terminated`."""

    def is_stated(number: int) -> bool:
        operation = program.makers.get(number)
        if operation is None or operation.name != "not":
            return True
        return operation.inputs != (program.result.terminated,)

    conjuncts = _conjuncts(program, program.result.truncated, readings)
    return [number for number in conjuncts if program.sources[number] and is_stated(number)]


def _conjuncts(program: Dataflow, number: int, readings: frozenset[int]) -> Iterator[int]:
    """Yields the values of which `number` is the conjunction, those of the clock undivided."""
    operation = program.makers.get(number)
    if operation is None or program.sources[number] <= readings:
        yield number
    elif operation.name in ("and", *CONVERSIONS):
        for operand in operation.inputs:
            yield from _conjuncts(program, operand, readings)
    else:
        yield number


def _first_end(
    reset: Dataflow, step: Dataflow, clock: Mapping[int, int], conditions: list[int]
) -> int | None:
    """Returns the first step at whose end one of the conditions holds; None if none ever does."""
    starts, nexts = jax.tree.leaves(reset.result), jax.tree.leaves(step.result.state)

    def goes_on(carry: Any) -> Array:
        return ~carry[1] & (carry[0] < MOST_STEPS)

    def tick(carry: Any) -> Any:
        steps, _, values = carry
        results = [*(nexts[i] for i in clock), *conditions]
        outcome = step.run(results, dict(zip(clock.values(), values, strict=True)))
        is_over = jnp.array([jnp.asarray(outcome[n], bool).any() for n in conditions]).any()
        return steps + 1, is_over, [outcome[nexts[i]] for i in clock]

    def search() -> tuple[Array, Array]:
        start = reset.run([starts[i] for i in clock], {})
        leaves = [jnp.asarray(start[starts[i]]) for i in clock]
        carry = jnp.zeros((), jnp.int32), jnp.zeros((), bool), leaves
        return jax.lax.while_loop(goes_on, tick, carry)[:2]

    steps, is_over = jax.jit(search)()
    return int(steps) if is_over else None
