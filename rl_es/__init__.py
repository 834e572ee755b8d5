"""rl_es: a benchmark suite for evolution strategies in reinforcement learning, in JAX.

In Python, such as in a notebook, without a sweep file:

import rl_es
result = rl_es.train("CartPole-v1", "eggroll", env_steps=1e6, seeds=5, population=256, rank=4)
result.plot()
rl_es.evaluate(result.policy(seed=0), episodes=100)

The names of this module are stable. They load on first use: `import rl_es` loads no jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl_es.api.results import Results, evaluate, load, load_policy, plot
    from rl_es.api.train import train
    from rl_es.errors import UserError
    from rl_es.training.policies import SavedPolicy

__version__ = "0.1.0"
__all__ = [
    "Results",
    "SavedPolicy",
    "UserError",
    "__version__",
    "evaluate",
    "load",
    "load_policy",
    "plot",
    "train",
]

_MODULES = {
    "Results": "rl_es.api.results",
    "SavedPolicy": "rl_es.training.policies",
    "UserError": "rl_es.errors",
    "evaluate": "rl_es.api.results",
    "load": "rl_es.api.results",
    "load_policy": "rl_es.api.results",
    "plot": "rl_es.api.results",
    "train": "rl_es.api.train",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    """Returns all names, including those that are not loaded yet."""
    return sorted({*globals(), *__all__})
