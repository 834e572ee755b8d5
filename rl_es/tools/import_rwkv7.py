"""Imports published weights of RWKV-7 as a saved policy of network `rwkv7`.

The file is one that `rl_es.tools.tensor_files` reads, with the names of the published checkpoints:
`emb.weight`, `blocks.0.att.receptance.weight`, ... The network has the same names, so that the
name of each parameter follows from its path. Matrices of linear layers are [outputs, inputs] in
the file. All sizes are read from the shapes.

The embedding and the head of the published models have more rows than their vocabulary has tokens;
rows beyond the tokens of the environment are left out.
"""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from rl_es import registry
from rl_es.errors import UserError, brief
from rl_es.evolution.linen import NETWORK
from rl_es.evolution.perturbation import leaves_by_path, nest_by_path
from rl_es.interfaces import Discrete, Environment, Generative, Snapshot
from rl_es.results.files import slug
from rl_es.rollout.config import PolicyConfig, WrapperConfig
from rl_es.rollout.rwkv7 import AdapterRanks
from rl_es.sweep.cells import digest
from rl_es.sweep.store import cell_source
from rl_es.tools.tensor_files import read_tensors
from rl_es.training.compilation import suppress_loader_messages
from rl_es.training.policies import save_policy
from rl_es.training.task import Task

PADDING = 0.01  # of the rows of an embedding, at most
AGENT = "import"  # in the manifest of a policy that no agent trained
_ADAPTERS = "wavg"  # in the order of AdapterRanks
_UNUSED = {f"blocks.0.att.v{part}" for part in "012"}  # the first layer has no value to blend with
_LAYOUT = "the names are those of the published checkpoints, such as blocks.0.att.receptance.weight"


def import_rwkv7(
    checkpoint: Path, env: str, options: Mapping[str, Any], out: Path
) -> tuple[Path, str]:
    """Writes a saved policy from a checkpoint.

    Args:
      checkpoint: a .pth or .safetensors of RWKV-7.
      env: the environment's name in the registry.
      options: the environment's options.
      out: the results folder.

    Returns:
      The path of the policy's manifest, and the settings of runs that start from it, as YAML.

    Raises:
      UserError: the checkpoint cannot be read, is no RWKV-7 model, or does not fit the environment.
    """
    tensors = read_tensors(checkpoint)
    task = Task.from_options(env, options, WrapperConfig(), read_settings(checkpoint, tensors))
    environment = task.environment()
    if not isinstance(environment.spec.action_space, Discrete):
        config = task.policy.model_copy(update={"head": "deterministic"})
        task = dataclasses.replace(task, policy=config)
    policy = task.make_policy(environment)
    with suppress_loader_messages():
        shapes = policy.parameters.shapes
    _check_unit(env, environment)
    snapshot = Snapshot(as_parameters(checkpoint, tensors, shapes))
    content = cell_source(task.name, task.options, task.wrappers, task.policy)
    run_id = digest([content["environment"], content["policy"], _digest_weights(snapshot)])
    identity = {"env": env, "agent": AGENT, "label": slug(checkpoint.stem), "seed": 0}
    progress = {"run_id": run_id, "env_steps": 0, "return_mean": None}
    folder = out / "policies" / run_id
    path = save_policy(folder, "final", snapshot, {**content, **identity, **progress})
    settings = task.policy.model_dump(mode="json", exclude_defaults=True)
    return path, json.dumps({**settings, "init": str(path)})


def read_settings(checkpoint: Path, tensors: Mapping[str, np.ndarray]) -> PolicyConfig:
    """Returns the settings of the network that has the shapes of a checkpoint.

    Raises:
      UserError: an array is missing that tells a size.
    """

    def sizes(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise UserError(f"{checkpoint}: no RWKV-7 model: it has no '{name}'; {_LAYOUT}")
        shape = tensors[name].shape
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"{checkpoint}: '{name}' has shape {list(shape)} and is no matrix")
        return shape

    width, last = sizes("emb.weight")[1], 0
    while any(name.startswith(f"blocks.{last + 1}.") for name in tensors):
        last += 1
    adapters = {name: f"blocks.{last}.att.{name}1" for name in _ADAPTERS}
    if last == 0:  # a single layer has no adapter of values
        adapters["v"] = adapters["a"]
    ranks = AdapterRanks(*(sizes(adapters[name])[1] for name in _ADAPTERS))
    return PolicyConfig(
        network="rwkv7",
        widths=(width,) * (last + 1),
        head_size=sizes("blocks.0.att.r_k")[1],
        adapter_ranks=ranks,
        channel_width=sizes("blocks.0.ffn.key.weight")[0],
    )


def as_parameters(checkpoint: Path, tensors: Mapping[str, np.ndarray], shapes: Any) -> Any:
    """Returns a checkpoint's arrays as parameters of the network.

    Args:
      checkpoint: path for messages.
      tensors: the arrays, by their names in the checkpoint.
      shapes: of the parameters, as `ParameterSpec` has them.

    Raises:
      UserError: an array is missing, has another shape, or has no place in the network.
    """
    parameters, names = {}, set(_UNUSED)
    for path, leaf in leaves_by_path(shapes).items():
        name, is_transposed = _name_of(path)
        names.add(name)
        if name not in tensors:
            raise UserError(f"{checkpoint}: no RWKV-7 model: it has no '{name}'; {_LAYOUT}")
        array = tensors[name].T if is_transposed else tensors[name]
        if name in ("emb.weight", "head.weight"):
            array = _cut_vocabulary(checkpoint, name, array, leaf.shape)
        if [n for n in array.shape if n > 1] != [n for n in leaf.shape if n > 1]:
            raise UserError(
                f"{checkpoint}: '{name}' has shape {list(tensors[name].shape)}; a network of "
                f"these widths needs {list(leaf.shape[::-1] if is_transposed else leaf.shape)}"
            )
        parameters[path] = np.ascontiguousarray(array.reshape(leaf.shape), np.float32)
    if excess := sorted(tensors.keys() - names):
        raise UserError(
            f"{checkpoint}: '{brief(excess[0])}' is no part of RWKV-7, and {len(excess)} such "
            "arrays are there: it is another model"
        )
    return nest_by_path(parameters)


def _name_of(path: tuple[str, ...]) -> tuple[str, bool]:
    """Returns the name of a parameter in a checkpoint, and whether it is transposed there."""
    parts = [part.replace("blocks_", "blocks.") for part in path[len(NETWORK) :]]
    if parts[0] == "ln0":
        parts.insert(0, "blocks.0")
    *parents, last = parts
    if last == "kernel" and parents[-1][:-1] in _ADAPTERS:
        return ".".join(parents), False
    names = {"kernel": "weight", "scale": "weight", "embedding": "weight"}
    return ".".join([*parents, names.get(last, last)]), last == "kernel"


def _cut_vocabulary(
    checkpoint: Path, name: str, array: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns an embedding [V, D] or a head [D, V] without the tokens beyond an environment's.

    Raises:
      UserError: the environment has more tokens than the model.
    """
    axis = 0 if name == "emb.weight" else 1
    if array.ndim == 2 and array.shape[axis] < shape[axis]:
        raise UserError(
            f"{checkpoint}: the model has {array.shape[axis]} tokens, and the environment "
            f"{shape[axis]}; choose the vocabulary of the model"
        )
    if array.ndim == 2 and shape[axis] < (1 - PADDING) * array.shape[axis]:
        warnings.warn(
            f"{checkpoint}: the model has {array.shape[axis]} tokens, and the environment "
            f"{shape[axis]}: probably it has another vocabulary, in which tokens mean other things",
            stacklevel=2,
        )
    return array[: shape[0], : shape[1]] if array.ndim == 2 else array


def _check_unit(name: str, env: Environment) -> None:
    """Refuses an environment that takes logits in another unit than nats.

    Raises:
      UserError: names the option.
    """
    if isinstance(env.spec.action_space, Discrete) or not registry.generates_text(name):
        return
    logits = jnp.linspace(-1, 1, env.spec.action_space.shape[0])
    with suppress_loader_messages():
        expected = cast(Generative, env).log_probabilities(logits)
        is_in_nats = bool(jnp.allclose(expected, jax.nn.log_softmax(logits), rtol=1e-4))
    if not is_in_nats:
        raise UserError(
            f"{name} reads logits in another unit than nats; set the option logits: nats"
        )


def _digest_weights(snapshot: Snapshot) -> str:
    content = hashlib.sha256()
    for leaf in jax.tree.leaves(snapshot):
        content.update(leaf.tobytes())
    return content.hexdigest()
