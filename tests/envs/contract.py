"""What every environment has to keep: the checks of `rl_es.tools.check` that need one program."""

import numpy as np

from rl_es.interfaces import Environment
from rl_es.tools.check_environment import EnvironmentChecks, LaneRollout

# The others compile programs of their own: tests/tools asks them of every environment.
ASKED = ("specification", "types", "finite", "ends", "after the end", "action mask")


def check_types(env: Environment) -> None:
    """Shapes and dtypes are the specification's; reset and step agree; nothing is weak."""
    EnvironmentChecks(env).types()


def check(env: Environment, steps: int) -> LaneRollout:
    """Everything that holds for every environment, over `steps` steps."""
    checks = EnvironmentChecks(env, steps, library=True)
    for name in ASKED:
        checks.checks()[name]()  # raises where it does not hold
    result = checks.run
    for output in (result.sums, result.reward, result.terminated, result.truncated):
        np.testing.assert_array_equal(output[:, 0], output[:, 1])
    np.testing.assert_array_equal(result.last[0], result.last[1])
    return result
