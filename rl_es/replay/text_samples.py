"""Text that saved policies write, where an environment is of text: what a film is elsewhere.

A sample begins after the separator in front of a document. Every token is drawn from the policy's
distribution, and is what the policy observes next. Importing this loads no jax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_es.results.files import write_text
from rl_es.results.tables import finite
from rl_es.training.policy_manifest import IDENTITY, PolicyManifest

if TYPE_CHECKING:
    from rl_es.training.policies import PolicyLoader

TOKENS = 300  # of a sample
TEMPERATURE = 1.0  # that of the distribution which rewards are paid for


@dataclass(frozen=True)
class TextSample:
    """A text that a policy wrote.

    Attributes:
      policy: whose text it is.
      text: characters that can be printed, and newlines.
      episode_seed: of what is drawn.
    """

    policy: PolicyManifest
    text: str
    episode_seed: int

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
        return (
            f"{self.stage}{after}: {TOKENS} tokens at temperature {TEMPERATURE:g}, "
            f"episode seed {self.episode_seed}"
        )

    def entry(self, source: str) -> dict[str, Any]:
        """Returns its entry in `replays.json`; `source` is a hash of the policy."""
        manifest = self.policy.manifest
        return {
            **{name: manifest[name] for name in IDENTITY},
            "stage": self.stage,
            "env_steps": manifest.get("env_steps"),
            "return_mean": finite(manifest.get("return_mean")),
            "episode_seed": self.episode_seed,
            "tokens": TOKENS,
            "temperature": TEMPERATURE,
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
    return [
        TextSample(
            policy,
            printable_text(loader.load(policy.path).generate(TOKENS, episode_seed, TEMPERATURE)),
            episode_seed,
        )
        for policy in policies.values()
    ]


def write_samples(path: Path, samples: Sequence[TextSample]) -> None:
    """Writes the samples of one run into a file, each under its title."""
    heading = samples[0].policy.title
    parts = [f"{sample.title}\n\n{sample.text}\n" for sample in samples]
    write_text(path, "\n\n".join([f"{heading}\n", *parts]))
