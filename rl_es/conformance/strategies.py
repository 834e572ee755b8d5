"""The further checks of an evolution strategy, against what `rl_es.interfaces.Agent` promises."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_es.conformance import tracing
from rl_es.conformance.agents import FEW, SAME, AgentChecks, apart
from rl_es.conformance.target import Target, distance, policy
from rl_es.conformance.trial import Trial
from rl_es.evolution.config import StrategyConfig
from rl_es.evolution.keys import PAIRS_PER_KEY, block_keys
from rl_es.findings import Fault
from rl_es.training.program import as_keys
from rl_es.training.spread import Spread

GENERATIONS = 200  # in which it has to come near the target
NEAR = 0.5  # of the distance at the start
ALIKE = 0.9  # least cosine of two changes in the same direction


class StrategyChecks(AgentChecks):
    """The checks of one strategy: two more if it has the settings that all strategies share."""

    def looks(self) -> dict[str, Callable[[], str]]:
        own = {
            "noise": self.noise,
            "chunks": self.chunks,
            "improves": self.improves,
            "shift": self.shift,
        }
        if issubclass(self.module.Hyperparameters, StrategyConfig):
            own |= {"scale": self.scale, "symmetry": self.symmetry}
        return {**super().looks(), **own}

    def noise(self) -> str:
        """Every pair draws noise of its own, and each key is used once."""
        trial, pairs = self.usual, 2 * PAIRS_PER_KEY
        agent: Any = trial.learner.agent  # pyright: ignore[reportAttributeAccessIssue]
        state = as_keys(trial.run(0), trial.shapes).agent
        keys, fresh = block_keys(jax.random.key(0), pairs), jnp.ones(pairs, bool)

        def draw(keys: Any) -> Any:
            return agent.ask(keys, state, agent.remember(pairs), fresh)[0]

        if reused := tracing.reuses_key(draw, keys):
            remedy = "split it: one, other = jax.random.split(key)"
            raise Fault(f"ask uses a key twice ({reused})", remedy)
        members = jax.jit(lambda keys: agent.members(state, draw(keys)))(keys)
        rows = [
            np.asarray(leaf).reshape(pairs, -1)
            for leaf in jax.tree.leaves((members.direct, members.products))
            if leaf.shape[:1] == (pairs,) and leaf.size > pairs
        ]
        alike = [len(np.unique(part, axis=0)) for part in rows]
        if any(count < pairs for count in alike):
            remedy = "each block of 64 pairs has its own key; each pair its own draw"
            detail = f"of {pairs} pairs, {pairs - min(alike)} share their noise with another"
            raise Fault(detail, remedy)
        return "each pair has noise of its own; keys are used once"

    def chunks(self) -> str:
        """A population that is evaluated in chunks gives what it gives at once."""
        if "population" not in self.module.Hyperparameters.model_fields:
            return "not asked: it has no setting 'population'"
        whole = self._plain(Target(length=4), population=4 * PAIRS_PER_KEY)
        parts = whole.placed(None, Spread(chunks=2))
        worst = apart(whole.params(whole.run(FEW)), parts.params(parts.run(FEW)))
        if worst > SAME:
            remedy = (
                "ask and contract see a block of pairs; what needs all of them is in shape or tell"
            )
            raise Fault(f"in two chunks it differs by {worst:.2g}", remedy)
        return "a population in two chunks gives what it gives at once"

    def improves(self) -> str:
        """It comes nearer to the target, by which its update has the right sign."""
        trial = self.trial()
        first, last = trial.run(0), trial.run(GENERATIONS)
        before, after = (
            float(distance(policy(trial.env), trial.learner.snapshot(as_keys(s, trial.shapes))))
            for s in (first, last)
        )
        detail = f"distance to the target {before:.2f}, after {GENERATIONS} generations {after:.2f}"
        if after > before:
            raise Fault(detail, "it goes downhill: higher returns are better, and tell ascends")
        if not after < NEAR * before:
            raise Fault(detail, "see its weights and its step; state settings by --settings")
        return detail

    def _plain(self, env: Target, **changed: Any) -> Trial:
        """A trial with SGD, where the optimiser can be chosen: it hides no factor of the update."""
        if "optimiser" in self.module.Hyperparameters.model_fields:
            changed = {"optimiser": "sgd", "lr": 0.01, **changed}
        return self.trial(env, **changed)

    def _changes(self, **task: float) -> tuple[np.ndarray, np.ndarray]:
        """[n] each: the change of the parameters in two tasks, after the first that is not zero."""
        one, other = self._plain(Target()), self._plain(replace(Target(), **task))
        for generations in range(1, 2 * FEW):
            change = one.change(generations)
            if change.any():
                return change, other.change(generations)
        raise RuntimeError(f"its parameters do not move in {2 * FEW} generations")

    def shift(self) -> str:
        """A constant that is added to all returns changes nothing."""
        worst = apart(*self._changes(shift=1.0))
        if worst > 10 * SAME:
            remedy = "weights may depend on differences of returns, not on where they are"
            detail = f"a constant added to all returns changes the step by {worst:.2g}"
            raise Fault(detail, remedy)
        return "a constant added to all returns changes nothing"

    def scale(self) -> str:
        """Returns in other units lead in the same direction."""
        cosine = _cosine(*self._changes(scale=10.0))
        detail = f"returns ten times as large: cosine of the steps {cosine:.2f}"
        if cosine < ALIKE:
            raise Fault(detail, "direction may not depend on the returns' unit")
        return detail

    def symmetry(self) -> str:
        """Opposite returns lead in the opposite direction, as the noise is in antithetic pairs."""
        cosine = _cosine(*self._changes(scale=-1.0))
        detail = f"returns of the opposite sign: cosine of the steps {cosine:.2f}"
        if cosine > -ALIKE:
            raise Fault(detail, "contract the difference of a pair's two weights with its noise")
        return detail


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-30))
