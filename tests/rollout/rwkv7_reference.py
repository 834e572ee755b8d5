"""RWKV-7 in float64 NumPy, from the formulas of arXiv 2503.14456, and checkpoints in its layout.

A checkpoint is a dictionary of arrays by the names and shapes of the published files: matrices of
linear layers are [outputs, inputs], those of adapters [inputs, outputs], vectors [1, 1, D].
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

VECTORS = ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "v0", "k_k", "k_a")


def random_checkpoint(
    rng: np.random.Generator,
    tokens: int,
    width: int,
    layers: int,
    head_size: int,
    ranks: Mapping[str, int],
    hidden: int,
) -> dict[str, np.ndarray]:
    """Returns a checkpoint [float32] of numbers that leave no part of the model near a constant."""

    def matrix(rows: int, columns: int, inputs: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / math.sqrt(inputs)

    weights: dict[str, np.ndarray] = {"emb.weight": matrix(tokens, width, 1)}

    def norm(name: str) -> None:
        weights[f"{name}.weight"] = 1 + 0.3 * rng.standard_normal(width)
        weights[f"{name}.bias"] = 0.3 * rng.standard_normal(width)

    for i in range(layers):
        att, ffn = f"blocks.{i}.att", f"blocks.{i}.ffn"
        for name in ("ln0", "ln1", "ln2") if i == 0 else ("ln1", "ln2"):
            norm(f"blocks.{i}.{name}")
        for name in VECTORS:
            weights[f"{att}.{name}"] = rng.uniform(-1, 2, (1, 1, width))
        for name, rank in ranks.items():
            weights[f"{att}.{name}1"] = matrix(width, rank, width)
            weights[f"{att}.{name}2"] = matrix(rank, width, rank)
        if i == 0:  # some published files have them, though the first layer does not use them
            for name in ("v0", "v1", "v2"):
                del weights[f"{att}.{name}"]
        weights[f"{att}.r_k"] = rng.standard_normal((width // head_size, head_size))
        for name in ("receptance", "key", "value", "output"):
            weights[f"{att}.{name}.weight"] = matrix(width, width, width)
        norm(f"{att}.ln_x")
        weights[f"{ffn}.x_k"] = rng.uniform(-1, 2, (1, 1, width))
        weights[f"{ffn}.key.weight"] = matrix(hidden, width, width)
        weights[f"{ffn}.value.weight"] = matrix(width, hidden, hidden)
    norm("ln_out")
    weights["head.weight"] = matrix(tokens, width, width)
    return {name: value.astype(np.float32) for name, value in weights.items()}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class ReferenceModel:
    """The model of a checkpoint, token by token, with loops over layers, heads and elements."""

    def __init__(self, weights: Mapping[str, np.ndarray], head_size: int):
        self.weights = {name: np.asarray(w, np.float64) for name, w in weights.items()}
        self.width = self.weights["emb.weight"].shape[1]
        self.size, self.heads = head_size, self.width // head_size
        self.layers = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("blocks."))
        self.forget()

    def forget(self) -> None:
        """Sets the state to that at the start of a document."""
        self.seen = np.zeros((self.layers, 2, self.width))  # by time mix and channel mix
        self.memory = np.zeros((self.layers, self.heads, self.size, self.size))

    def vector(self, name: str) -> np.ndarray:
        return self.weights[name].reshape(-1)

    def norm(self, name: str, x: np.ndarray, groups: int = 1, epsilon: float = 1e-5) -> np.ndarray:
        parts = []
        for part in np.split(x, groups):
            mean = sum(part) / len(part)
            variance = sum((part - mean) ** 2) / len(part)
            parts.append((part - mean) / math.sqrt(variance + epsilon))
        return np.concatenate(parts) * self.vector(f"{name}.weight") + self.vector(f"{name}.bias")

    def blend(self, name: str, x: np.ndarray, before: np.ndarray) -> np.ndarray:
        share = self.vector(name)
        return (1 - share) * x + share * before

    def adapter(self, name: str, x: np.ndarray, function: Any = lambda x: x) -> np.ndarray:
        return function(x @ self.weights[f"{name}1"]) @ self.weights[f"{name}2"]

    def time_mix(self, i: int, x: np.ndarray, first: np.ndarray | None) -> Any:
        att, before = f"blocks.{i}.att", self.seen[i, 0]
        blends = {name: self.blend(f"{att}.x_{name}", x, before) for name in "rwkvag"}
        r = self.weights[f"{att}.receptance.weight"] @ blends["r"]
        k = self.weights[f"{att}.key.weight"] @ blends["k"]
        v = self.weights[f"{att}.value.weight"] @ blends["v"]
        d = self.vector(f"{att}.w0") + self.adapter(f"{att}.w", blends["w"], np.tanh)
        w = np.exp(-math.exp(-0.5) * sigmoid(d))
        a = sigmoid(self.vector(f"{att}.a0") + self.adapter(f"{att}.a", blends["a"]))
        g = self.adapter(f"{att}.g", blends["g"], sigmoid)
        if first is None:
            first = v
        else:
            share = sigmoid(self.vector(f"{att}.v0") + self.adapter(f"{att}.v", blends["v"]))
            v = (1 - share) * v + share * first
        c = k * self.vector(f"{att}.k_k")
        k = k - k * (1 - a) * self.vector(f"{att}.k_a")
        outputs, bonuses = [], []
        for h in range(self.heads):
            part = slice(h * self.size, (h + 1) * self.size)
            memory, removal = self.memory[i, h], c[part] / math.sqrt(sum(c[part] ** 2))
            transition = np.diag(w[part]) - np.outer(removal, a[part] * removal)
            memory = memory @ transition + np.outer(v[part], k[part])
            self.memory[i, h] = memory
            outputs.append(memory @ r[part])
            bonuses.append(sum(r[part] * k[part] * self.weights[f"{att}.r_k"][h]) * v[part])
        y = self.norm(f"{att}.ln_x", np.concatenate(outputs), self.heads, 64e-5)
        y = (y + np.concatenate(bonuses)) * g
        return self.weights[f"{att}.output.weight"] @ y, first

    def channel_mix(self, i: int, x: np.ndarray) -> np.ndarray:
        ffn = f"blocks.{i}.ffn"
        hidden = self.weights[f"{ffn}.key.weight"] @ self.blend(f"{ffn}.x_k", x, self.seen[i, 1])
        return self.weights[f"{ffn}.value.weight"] @ np.maximum(hidden, 0) ** 2

    def step(self, token: int) -> np.ndarray:
        """Reads a token, and returns logits [V]; token 0 begins a document."""
        if token == 0:
            self.forget()
        x, first = self.norm("blocks.0.ln0", self.weights["emb.weight"][token]), None
        for i in range(self.layers):
            seen = self.norm(f"blocks.{i}.ln1", x)
            change, first = self.time_mix(i, seen, first)
            self.seen[i, 0] = seen
            x = x + change
            seen = self.norm(f"blocks.{i}.ln2", x)
            x = x + self.channel_mix(i, seen)
            self.seen[i, 1] = seen
        return self.weights["head.weight"] @ self.norm("ln_out", x)

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Returns the logits after each token [T, V]."""
        return np.stack([self.step(token) for token in tokens])
