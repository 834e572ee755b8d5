"""Published weights of RWKV-7 as a saved policy: equal logits, and runs that start from it.

Checkpoints are random, in the layout of the published files.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es import cli
from rl_es.errors import UserError
from rl_es.interfaces import Observation
from rl_es.results import tables
from rl_es.sweep.yaml_reader import parse_value
from rl_es.tools.import_rwkv7 import import_rwkv7
from rl_es.training.policies import SavedPolicy, load_policy
from tests.envs.text.test_vocabulary import write_vocabulary
from tests.rollout.rwkv7_reference import ReferenceModel, random_checkpoint
from tests.running import ran, sweep_of
from tests.tools.tensor_writers import write_safetensors, write_torch

TOKENS, HEAD = 258, 8  # more than there are bytes, as the published models have
RANKS = {"w": 3, "a": 4, "v": 5, "g": 6}
ENV = "text/python_docs"
OPTIONS = {"vocabulary": "bytes", "logits": "nats", "evaluation_steps": 5}


def make_checkpoint(layers: int = 2, **changes: Any) -> dict[str, np.ndarray]:
    sizes = {"tokens": TOKENS, "width": 16, "head_size": HEAD, "ranks": RANKS, "hidden": 24}
    return random_checkpoint(np.random.default_rng(1), layers=layers, **{**sizes, **changes})


def import_checkpoint(
    folder: Path, weights: dict[str, np.ndarray], options: dict[str, Any] | None = None
) -> SavedPolicy:
    path = write_torch(folder / "model.pth", weights)
    manifest, _ = import_rwkv7(path, ENV, options or OPTIONS, folder / "out")
    return load_policy(manifest)


def logits_of(policy: SavedPolicy, tokens: list[int]) -> np.ndarray:
    network, params = policy.evaluator.policy, policy.snapshot.params

    def step(state: Any, token: Any) -> Any:
        return network.act(params, state, Observation(token[None]), jax.random.key(0))

    values = jnp.asarray(tokens, jnp.float32)
    return np.asarray(jax.jit(lambda: jax.lax.scan(step, network.initial_state(), values))()[1])


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("write", [write_torch, write_safetensors])
def test_logits_equal_the_published_recurrence(tmp_path: Path, write: Any, kind: str) -> None:
    weights = make_checkpoint()
    suffix = ".pth" if write is write_torch else ".safetensors"
    path = write(tmp_path / f"model{suffix}", weights, kind)
    policy = load_policy(import_rwkv7(path, ENV, OPTIONS, tmp_path)[0])
    if kind == "bfloat16":
        upper = np.uint32(0xFFFF0000)
        weights = {n: (w.view(np.uint32) & upper).view(np.float32) for n, w in weights.items()}
    tokens = [84, 104, 101, 0, 32, 101, 101, 255]
    expected = ReferenceModel(weights, HEAD).read(tokens)[:, :256]
    logits = logits_of(policy, tokens)
    np.testing.assert_allclose(logits, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("has_values", [False, True])
def test_a_first_layer_may_have_an_adapter_of_values(tmp_path: Path, has_values: bool) -> None:
    weights = make_checkpoint(1)
    if has_values:
        shapes = {"v0": (1, 1, 16), "v1": (16, 5), "v2": (5, 16)}
        weights |= {f"blocks.0.att.{n}": np.ones(s, np.float32) for n, s in shapes.items()}
    policy = import_checkpoint(tmp_path, weights)
    expected = ReferenceModel(weights, HEAD).read([5, 6])[:, :256]
    np.testing.assert_allclose(logits_of(policy, [5, 6]), expected, rtol=1e-3, atol=1e-4)


def test_a_vocabulary_of_a_file(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "tokens.txt", " the")
    options = {**OPTIONS, "vocabulary": str(vocabulary)}
    policy = import_checkpoint(tmp_path, make_checkpoint(), options)
    assert logits_of(policy, [257]).shape == (1, 258)
    assert policy.evaluate(2).shape == (2,)
    written = policy.generate(40)
    assert written == policy.generate(40) and len(written) >= 40


def test_a_vocabulary_of_another_size_is_noticed(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="model has 300 tokens, and the environment 256: probably"):
        import_checkpoint(tmp_path, make_checkpoint(1, tokens=300))


SWEEP = """
name: start
seeds: [3]
defaults:
  budget: {{generations: 2}}
  evaluation: {{points: 1, episodes: 2}}
  policy: {policy}
environments: [{{name: text/python_docs, options: {options}, episode_length: 6}}]
agents: [{{name: eggroll, with: {{population: 4, sigma: 0.01, lr: 0.1}}}}]
"""


def test_a_run_starts_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", make_checkpoint(1))
    settings = json.dumps(OPTIONS)
    command = ["import", "rwkv7", str(path), "--env", ENV, "--settings", settings]
    assert cli.main([*command, "--out", str(tmp_path / "start")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    start = load_policy(first)
    policy = parse_value(second.removeprefix("runs start from it with policy: "))
    assert policy["init"] == first
    folder = ran(tmp_path / "run", sweep_of(SWEEP.format(policy=policy, options=settings)))
    curves, runs = tables.load_tables(folder)
    assert len(curves) == 2 and runs.status.tolist() == ["finished"]
    early, final = (
        load_policy(next(folder.glob(f"policies/*/{s}.json"))) for s in ("early", "final")
    )
    leaves = [jax.tree.leaves(p.snapshot.params) for p in (start, early, final)]
    for parameter, first_value, last_value in zip(*leaves, strict=True):
        np.testing.assert_array_equal(parameter, first_value)
        assert (first_value != last_value).any()


def test_network_and_vocabulary_of_a_file_in_a_sweep_of_their_own(tmp_path: Path) -> None:
    policy = {"network": "rwkv7", "widths": [16], "head_size": 8, "head": "deterministic"}
    vocabulary = write_vocabulary(tmp_path / "tokens.txt", " the")
    options = json.dumps({**OPTIONS, "vocabulary": str(vocabulary)})
    text = SWEEP.format(policy={**policy, "adapter_ranks": [2, 2, 2, 2]}, options=options)
    curves, _ = tables.load_tables(ran(tmp_path / "run", sweep_of(text)))
    returns = curves.sort_values("generation").return_mean
    assert np.isfinite(returns).all() and returns.nunique() == 2


def without(name: str) -> dict[str, np.ndarray]:
    return {other: array for other, array in make_checkpoint().items() if other != name}


def with_array(name: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {**make_checkpoint(), name: np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    ("weights", "options", "reason"),
    [
        (without("emb.weight"), OPTIONS, "no RWKV-7 model: it has no 'emb.weight'"),
        (without("blocks.1.att.x_r"), OPTIONS, "it has no 'blocks.1.att.x_r'; the names are"),
        (with_array("blocks.0.att.r_k", (16,)), OPTIONS, r"'blocks.0.att.r_k' has shape \[16\]"),
        (with_array("blocks.1.ffn.x_e", (16,)), OPTIONS, "'blocks.1.ffn.x_e' is no part of RWKV-7"),
        (with_array("blocks.3.att.x_r", (16,)), OPTIONS, "'blocks.3.att.x_r' is no part of RWKV-7"),
        (
            with_array("blocks.1.att.key.weight", (16, 8)),
            OPTIONS,
            r"'blocks.1.att.key.weight' has shape \[16, 8\]; .* needs \[16, 16\]",
        ),
        (with_array("ln_out.bias", (17,)), OPTIONS, r"\[17\]; .* needs \[16\]"),
        (with_array("emb.weight", (9, 16)), OPTIONS, "model has 9 tokens, and the environment 256"),
        (
            make_checkpoint(),
            {"vocabulary": "bytes"},
            "another unit than nats",
        ),
        (make_checkpoint(), {"vocabulary": "byte"}, "unknown vocabulary 'byte'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, weights: dict[str, np.ndarray], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason) as error:
        import_checkpoint(tmp_path, weights, options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.pth", "--env", ENV], "absent.pth: not readable as weights of a model (No such"),
        (["model.pth", "--env", "CartPole-v1"], "rwkv7 reads the index of a token"),
        (["model.pth", "--env", "text/none"], "text/none"),
        (["model.pth", "--env", ENV, "--settings", "{streams: 0}"], "streams"),
        (["model.pth", "--env", ENV, "--settings", "["], "--settings: "),
        (["model.pth"], "import: needs --env"),
    ],
)
def test_wrong_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_torch(Path("model.pth"), make_checkpoint())
    assert cli.main(["import", "rwkv7", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error and len(error.splitlines()) == 1, error
