"""Names of pytrees, by what they hold."""

from collections.abc import Mapping
from typing import Any

from jax import Array

Params = Any  # arrays: what an agent evolves
PolicyState = Any  # what a recurrent policy carries between steps; () when it carries none
EnvState = Any  # only its environment looks into it
Noise = Any  # leaves [H, ...]
Memory = Any  # leaves [H, ...]: what an agent remembers of each pair
Update = Params  # the estimate, shaped like the parameters
Hyper = Mapping[str, Array]  # traced numbers by name
