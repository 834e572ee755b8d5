"""The inner problem in NumPy and double precision, with derivatives written out by hand."""

import numpy as np


def flat(weights):
    """[n] all parameters of a pytree of layers, array by array."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for one in weights for leaf in one])


def loss_and_gradient(weights, images, labels, masks=None):
    """Mean cross entropy, and its gradient as a list of (weight, bias)."""
    weights = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in weights]
    inputs = [np.asarray(images, np.float64)]
    for i, (w, b) in enumerate(weights[:-1]):
        x = np.maximum(inputs[-1] @ w + b, 0)
        inputs.append(x if masks is None else x * np.asarray(masks[i], np.float64))
    outputs = inputs[-1] @ weights[-1][0] + weights[-1][1]
    outputs -= outputs.max(1, keepdims=True)
    p = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    count = len(images)
    loss = -np.log(p[np.arange(count), labels]).mean()
    back = p.copy()
    back[np.arange(count), labels] -= 1
    back /= count
    gradient = []
    for (w, _), x in zip(reversed(weights), reversed(inputs)):
        gradient.append((x.T @ back, back.sum(0)))
        back = (back @ w.T) * (x > 0)  # a masked unit's input is 0, and so is what comes back
    return loss, gradient[::-1]


def momentum_step(weights, velocity, gradient, lr, momentum):
    """SGD with momentum on lists of (weight, bias), with a rate and a momentum for each array."""
    velocity = [
        tuple(m * v + g for v, g, m in zip(*arrays)) for arrays in zip(velocity, gradient, momentum)
    ]
    weights = [
        tuple(np.asarray(w, np.float64) - r * v for w, v, r in zip(*arrays))
        for arrays in zip(weights, velocity, lr)
    ]
    return weights, velocity


def zeros(weights):
    """A velocity to start from."""
    return [tuple(np.zeros(np.shape(leaf)) for leaf in one) for one in weights]
