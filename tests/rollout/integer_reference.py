"""The language model in int64 of NumPy, with shifts and integer divisions, for one member.

Written from the formulas of arXiv 2511.16652, appendices G and H, and not from the package.
"""

import math
from typing import Any

import numpy as np

Numbers = np.ndarray  # int64


def clip(x: Numbers) -> Numbers:
    return np.clip(x, -127, 127)


class IntegerModel:
    """A member: parameters, and its sign times the noise of its pair.

    Args:
      params: int64 arrays by name, such as "gru_0_forget_input".
      noise: by name, factors (a, b) of a matrix, or the noise of a vector before its shift.
      sign: +1, -1, or 0 for the unperturbed model.
      shift: of the noise.
    """

    def __init__(self, params: dict[str, Numbers], noise: Any, sign: int, shift: int):
        self.params, self.noise, self.sign, self.shift = params, noise, sign, shift

    def product(self, name: str, x: Numbers) -> Numbers:
        a, b = self.noise[name]
        total = x @ self.params[name] + self.sign * (((x @ b) * a) >> self.shift)
        return clip(total // (16 * math.isqrt(len(x))))

    def vector(self, name: str) -> Numbers:
        return clip(self.params[name] + self.sign * (self.noise[name] >> self.shift))

    def norm(self, name: str, x: Numbers) -> Numbers:
        mean = max(int(np.abs(x).sum()) // len(x), 1)
        return clip(x * self.vector(name) // mean)

    def gated_unit(self, name: str, s: Numbers, x: Numbers) -> Numbers:
        f = self.product(f"{name}_forget_input", x) + self.product(f"{name}_forget_state", s)
        f = clip(f + self.vector(f"{name}_forget_bias"))
        past = ((f + 127) * s) >> 8
        c = self.product(f"{name}_change_input", x) + self.product(f"{name}_change_state", past)
        c = clip(c + self.vector(f"{name}_change_bias"))
        return s + (((f + 127) * (c - s)) >> 8)

    def step(self, states: list[Numbers], token: int) -> tuple[list[Numbers], Numbers]:
        if token == 0:
            states = [0 * s for s in states]
        a, b = self.noise["embed"]
        x = clip(self.params["embed"][token] + self.sign * ((b[token] * a) >> self.shift))
        after = []
        for i, s in enumerate(states):
            after.append(self.gated_unit(f"gru_{i}", s, self.norm(f"gru_{i}_norm", x)))
            x = clip(x + after[-1])
            hidden = self.product(f"mlp_{i}_up", self.norm(f"mlp_{i}_norm", x))
            x = clip(x + self.product(f"mlp_{i}_down", hidden))
        return after, self.product("head", self.norm("head_norm", x))
