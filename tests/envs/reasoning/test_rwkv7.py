"""`sweeps/reasoning/rwkv7.yaml` from a checkpoint to runs: import, plan, run, and its examples."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from rl_es import cli, registry
from rl_es.results import tables
from rl_es.sweep.yaml_reader import read_yaml
from rl_es.training.policies import load_policy
from tests.envs.text.test_vocabulary import write_vocabulary
from tests.tools.tensor_writers import write_torch
from tests.tools.test_import_rwkv7 import make_checkpoint

SWEEP = Path(__file__).parents[3] / "sweeps" / "reasoning" / "rwkv7.yaml"
TOKENS = (*(f"{n:02}" for n in range(100)), "->")
SMALL = (
    "seeds=1", "budget={generations: 2}", "evaluation={points: 1, episodes: 2}",
    "agents.eggroll.with.population=4", "agents.eggroll.with.episodes=2",
    "agents.grpo.with.prompts=2", "agents.grpo.with.group=2", "agents.grpo.with.minibatches=2",
    # No answer of random weights is right, so that their decay alone moves them.
    "agents.eggroll.with.weight_decay=1", "agents.grpo.with.weight_decay=1",
)  # fmt: skip


def call(*arguments: str) -> None:
    assert cli.main([*arguments]) == 0


def test_from_a_checkpoint_to_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vocabulary = write_vocabulary(tmp_path / "tokens.txt", *TOKENS)
    model = write_torch(tmp_path / "model.pth", make_checkpoint(1, tokens=len(TOKENS) + 258))
    settings = json.dumps({"vocabulary": str(vocabulary)})
    command = ["import", "rwkv7", str(model), "--env", "reasoning/countdown"]
    call(*command, "--settings", settings, "--out", str(tmp_path / "start"))
    manifest, policy = capsys.readouterr().out.splitlines()
    policy = policy.removeprefix("runs start from it with policy: ")
    assert json.loads(policy)["init"] == manifest

    options = [f"environments.0.options.vocabulary={vocabulary}", f"defaults.policy={policy}"]
    options = [part for value in (*options, *SMALL) for part in ("--set", value)]
    call("plan", str(SWEEP), *options, "--no-probe")
    assert {"eggroll", "grpo"} <= {*capsys.readouterr().out.split()}
    call("run", str(SWEEP), *options, "--out", str(tmp_path / "run"), "--quiet", "--no-replays")

    curves, runs = tables.load_tables(tmp_path / "run")
    assert runs.status.tolist() == ["finished", "finished"] and len(curves) == 4
    assert runs.set_index("agent").env_steps.gt(0).all()
    start = load_policy(manifest).snapshot.params
    for path in (tmp_path / "run").glob("policies/*/final.json"):
        saved = load_policy(path)
        early = load_policy(path.with_name("early.json")).snapshot.params
        jax.tree.map(np.testing.assert_array_equal, early, start)
        pairs = [*zip(*map(jax.tree.leaves, (saved.snapshot.params, start)), strict=True)]
        is_changed = [bool((a != b).any()) for a, b in pairs]
        is_matrix = [np.squeeze(b).ndim > 1 for _, b in pairs]
        agent = saved.manifest["agent"]
        assert is_changed == is_matrix if agent == "eggroll" else all(is_changed), agent
    text = load_policy(manifest).transcribe()
    assert re.match(r"0  (\d+,){2}\d+->\d+:", text), text


def test_what_has_to_be_set_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    vocabulary = write_vocabulary(tmp_path / "tokens.txt", *TOKENS)
    setting = ["--set", f"environments.0.options.vocabulary={vocabulary}"]
    for settings, reason in (
        ([], "environments[0].options (line"),
        ([], "vocabulary: PATH_OF_VOCABULARY.txt cannot be read"),
        (setting, "init: PATH_OF_IMPORTED_POLICY.msgpack cannot be read"),
    ):
        assert cli.main(["plan", str(SWEEP), *settings]) == 2
        error = capfd.readouterr().err
        assert reason in error and len(error.splitlines()) == 1, error


def test_the_examples_of_the_instruction_are_right() -> None:
    suite = registry.environment_suite("reasoning/countdown")
    options = read_yaml(SWEEP).content["environments"][0]["options"]
    task_options = {name: value for name, value in options.items() if name not in
           ("vocabulary", "instruction")}  # fmt: skip
    task = suite.make("reasoning/countdown", suite.Options(**task_options))._task
    words = task.vocabulary.words
    _, *examples = options["instruction"].splitlines()
    for example in examples:
        prompt, answer = (
            np.array([words.index(word) for word in text.split()], np.int32)
            for text in _words(example).split(":")
        )
        assert task.grade(prompt, np.append(answer, np.int32(0))).is_right, example
    assert len(examples) == 3


def _words(text: str) -> str:
    """Returns a problem and its solution as words with spaces between them."""
    prompt, answer = text.split(":")
    numbers, target = prompt.split("->")
    for symbol in "+-*/=,":
        answer = answer.replace(symbol, f" {symbol} ")
    return f"{numbers.replace(',', ' ')} -> {target}:{answer}"
