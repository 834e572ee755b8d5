"""Text that saved policies write, where an environment is of text: what a film is elsewhere.

A sample begins after the separator in front of a document. Every token is drawn from the policy's
distribution, and is what the policy observes next. Where episodes are read as text, as questions
and answers are, a sample is some episodes of evaluation, a line each. Importing this loads no jax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_es import registry
from rl_es.results.files import write_text
from rl_es.results.tables import finite
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest

if TYPE_CHECKING:
    from rl_es.training.policies import PolicyLoader

TOKENS = 300  # of a sample
TEMPERATURE = 1.0  # that of the distribution which rewards are paid for
EPISODES = 10  # of a sample of episodes, whose seeds follow each other


@dataclass(frozen=True)
class TextSample:
    """A text that a policy wrote.

    Attributes:
      policy: whose text it is.
      text: characters that can be printed, and newlines.
      episode_seed: of what is drawn.
      form: what else decides the text, by `sample_form`.
    """

    policy: PolicyManifest
    text: str
    episode_seed: int
    form: Mapping[str, Any]

    @property
    def stage(self) -> str:
        """Stage of training: early, middle or final."""
        return self.policy.path.stem

    @property
    def title(self) -> str:
        """Stage and training of the policy, and how the text was drawn."""
        env_steps = self.policy.manifest.get("env_steps")
        after = f", after {env_steps:,} steps of training" if env_steps else ""
        after = ", before any training" if env_steps == 0 else after
        how = "{tokens} tokens at temperature {temperature:g}"
        how = "{episodes} episodes with their returns" if "episodes" in self.form else how
        how = how.format(**self.form)
        return f"{self.stage}{after}: {how}, episode seed {self.episode_seed}"

    def entry(self, source: str) -> dict[str, Any]:
        """Returns its entry in `replays.json`; `source` is a hash of the policy."""
        manifest = self.policy.manifest
        return {
            **{name: manifest[name] for name in IDENTITY},
            "stage": self.stage,
            "env_steps": manifest.get("env_steps"),
            "return_mean": finite(manifest.get("return_mean")),
            "episode_seed": self.episode_seed,
            **self.form,
            "text": self.text,
            "source": source,
        }


def printable_text(content: bytes) -> str:
    r"""Returns UTF-8 as text; of bytes and characters that cannot be printed, their escapes.

    Newlines stay. A byte 0, which separates documents, becomes `\x00`.
    """
    text = content.decode(errors="backslashreplace")
    return "".join(
        character
        if character.isprintable() or character == "\n"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def sample_form(environment: str) -> dict[str, Any]:
    """Returns the sizes that decide a sample in an environment, as they stand in `replays.json`."""
    if registry.is_transcribed(environment):
        return {"episodes": EPISODES}
    return {"tokens": TOKENS, "temperature": TEMPERATURE}


def sample_texts(
    loader: PolicyLoader, policies: Mapping[str, PolicyManifest], episode_seed: int
) -> list[TextSample]:
    """Returns a sample of each policy, drawn by one seed.

    Args:
      loader: of policies; it shares what is compiled.
      policies: of one environment, by stage.
      episode_seed: of what is drawn.

    Raises:
      UserError: a policy cannot be read, or its environment generates no text.
    """
    samples = []
    for policy in policies.values():
        saved, form = loader.load(policy.path), sample_form(policy.environment)
        if "episodes" in form:
            seeds = range(episode_seed, episode_seed + EPISODES)
            text = "\n".join(saved.transcribe(seed) for seed in seeds)
        else:
            text = printable_text(saved.generate(TOKENS, episode_seed, TEMPERATURE))
        samples.append(TextSample(policy, text, episode_seed, form))
    return samples


def write_samples(path: Path, samples: Sequence[TextSample]) -> None:
    """Writes the samples of one run into a file, each under its title."""
    heading = samples[0].policy.title
    parts = [f"{sample.title}\n\n{sample.text}\n" for sample in samples]
    write_text(path, "\n\n".join([f"{heading}\n", *parts]))
