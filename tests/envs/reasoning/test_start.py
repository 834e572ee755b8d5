"""A policy that learnt from demonstrations starts one that answers, in every kind of agent."""

from pathlib import Path

import jax
import numpy as np
import pytest

from rl_es.results import tables
from rl_es.sweep import execution
from rl_es.training.policies import load_policy
from tests.running import ran, sweep_of

DEMONSTRATIONS = """
name: demonstrations
seeds: 1
defaults:
  budget: {generations: 2}
  evaluation: {points: 1, episodes: 2}
  policy: {network: gru_lm, widths: [4], head: deterministic}
environments: [{name: reasoning/sums_demonstrations, options: {numbers: 2}}]
agents: [{name: bptt, with: {particles: 2, window: 6}}]
"""
ANSWERS = """
name: answers
seeds: 1
defaults:
  budget: {{generations: 1}}
  evaluation: {{points: 1, episodes: 2}}
  policy: {{network: gru_lm, widths: [4], init: {start}}}
environments: [{{name: reasoning/sums, options: {{numbers: 2, reward: partial}}}}]
agents:
  - {{name: eggroll, with: {{population: 4, lr: 1e-9}}, policy: {{head: deterministic}}}}
  - {{name: grpo, with: {{prompts: 2, group: 2, minibatches: 1}}, policy: {{head: categorical}}}}
"""


def test_demonstrations_start_answers(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare_jax", lambda devices: None)
        folder = ran(tmp_path / "demonstrations", sweep_of(DEMONSTRATIONS))
        (start,) = folder.glob("policies/*/final.json")
        answers = ran(tmp_path / "answers", sweep_of(ANSWERS.format(start=start)))
    runs = tables.load_tables(answers)[1]
    assert set(runs["status"]) == {"finished"} and len(runs) == 2
    learnt, first = (load_policy(path).snapshot.params for path in
                     (start, next(start.parent.glob("early.json"))))  # fmt: skip
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (learnt, first))))
    for path in answers.glob("policies/*/early.json"):
        params = load_policy(path).snapshot.params
        jax.tree.map(np.testing.assert_array_equal, params, learnt)
