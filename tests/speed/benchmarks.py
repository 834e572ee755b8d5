"""A benchmark from YAML text and overrides."""

from rl_es.speed.schema import Benchmark
from rl_es.speed.workloads import validate_benchmark
from rl_es.sweep.loading import override
from rl_es.sweep.yaml_reader import parse_yaml

BASE = """
name: toy
rounds: 2
min_seconds: 0
compile: false
parts: false
workloads:
  environments: [{name: CartPole-v1, episode_length: 8}]
  widths: [[4]]
  populations: [4]
contestants: [bare, inference, eggroll]
"""


def benchmark_of(*assignments: str, text: str = BASE) -> Benchmark:
    """A benchmark from overrides of a small one, or of another text."""
    document = parse_yaml(text, "toy.yaml")
    override(document, assignments, sweep_wide_keys={})
    return validate_benchmark(document)
