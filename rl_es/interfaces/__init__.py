"""The protocols of the suite and the plain data between them.

Axis letters, here and everywhere: S seeds, P population (members), H = P/2 antithetic pairs,
E episodes a member, T steps, K window, D observation, A action, R rank, M x N a weight matrix
(x W, M inputs, N outputs).
"""

from rl_es.interfaces.agents import Agent, Episode, Persistent, Problem, Segment
from rl_es.interfaces.drawings import Drawing, Moment
from rl_es.interfaces.environments import (
    Box,
    Discrete,
    Environment,
    EnvSpec,
    Observation,
    Scored,
    Solved,
    Transition,
)
from rl_es.interfaces.learners import Learner, Limit, Rows
from rl_es.interfaces.natives import Native, NativeStep
from rl_es.interfaces.perturbations import Members, Perturbation
from rl_es.interfaces.policies import Matrix, ParameterSpec, Policy, Snapshot
from rl_es.interfaces.pytrees import EnvState, Hyper, Memory, Noise, Params, PolicyState, Update

__all__ = [
    "Agent",
    "Box",
    "Discrete",
    "Drawing",
    "EnvSpec",
    "EnvState",
    "Environment",
    "Episode",
    "Hyper",
    "Learner",
    "Limit",
    "Matrix",
    "Members",
    "Memory",
    "Moment",
    "Native",
    "NativeStep",
    "Noise",
    "Observation",
    "ParameterSpec",
    "Params",
    "Persistent",
    "Perturbation",
    "Policy",
    "PolicyState",
    "Problem",
    "Rows",
    "Scored",
    "Segment",
    "Snapshot",
    "Solved",
    "Transition",
    "Update",
]
