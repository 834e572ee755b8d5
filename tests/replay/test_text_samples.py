"""Replays of environments of text: what policies write, and where it is kept and refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rl_es import cli
from rl_es.errors import UserError
from rl_es.replay import command, report, text_samples
from rl_es.replay.text_samples import TOKENS, printable_text
from rl_es.results import text_files
from rl_es.sweep import execution
from rl_es.training.policies import load_policy
from tests.running import ran, sweep_of

TEXT = """
name: written
seeds: 1
defaults:
  budget: {generations: 3}
  evaluation: {points: 3, episodes: 2}
  policy: {network: egg, widths: [8], head: deterministic}
environments:
  - name: text/python_docs
    label: docs
    options: {evaluation_steps: 20}
agents:
  - {name: egg, with: {population: 4, window: 10}}
  - name: nres
    with: {population: 4, window: 10, lr: 3.0, shaping: raw}
    policy: {network: gru, widths: [8], normalise_observations: true}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two agents on text; tests copy what they write into."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare_jax", lambda devices: None)
        return ran(folder, sweep_of(TEXT))


def index_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "replays" / "replays.json").read_text())


@pytest.mark.parametrize("label", ["egg", "nres"])
def test_text_is_written_by_default(
    written: Path, label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        command.run_replay(
            written, label=label, stage="all", out=tmp_path / name, episode_seed=seed
        )
        for name, seed in (("one.txt", 0), ("same.txt", 0), ("other.txt", 1))
    ]
    one, same, other = (path.read_text() for path in paths)
    assert one == same != other.replace("episode seed 1", "episode seed 0")
    assert one.startswith(f"docs / {label} / seed 0\n")
    titles = [line for line in one.splitlines() if "tokens at temperature 1" in line]
    assert [title.split(",")[0].split(":")[0] for title in titles] == ["early", "middle", "final"]
    assert re.fullmatch(
        "early, (before any|after 40 steps of) training: "
        "300 tokens at temperature 1, episode seed 0",
        titles[0],
    )
    assert titles[2] in capsys.readouterr().err
    path = command.run_replay(written, label=label)
    assert path == written / "replays" / f"docs-{label}-seed0-final.txt"
    stages, _ = command.pick_run(written, None, label, None, 0, "final")
    content = load_policy(stages["final"].path).generate(TOKENS, 0)
    assert path.read_text().endswith(f"\n\n{printable_text(content)}\n")
    early = load_policy(stages["final"].path.with_name("early.json")).generate(TOKENS, 0)
    assert label == "egg" or early != content  # three generations may leave integers as they are


def test_a_saved_policy_writes_bytes(written: Path) -> None:
    policy = load_policy(next(written.glob("policies/*/final.json")))
    short, long = policy.generate(5), policy.generate(50)
    assert (len(short), len(long)) == (5, 50)
    for settings in ({"size": 0}, {"temperature": 0.0}):
        with pytest.raises(UserError, match=f"{next(iter(settings))}: must be at least"):
            policy.generate(**settings)


def test_where_no_text_is_written_it_is_said(trained: Path) -> None:
    with pytest.raises(UserError, match="^Catch-bsuite generates no text: choose mp4, gif or html"):
        command.run_replay(trained, env="catch", format="txt")
    policy = load_policy(next(trained.glob("policies/*/final.json")))
    with pytest.raises(UserError, match="generates no text") as error:
        policy.generate()
    assert "\n" not in str(error.value)


def test_texts_of_a_report_are_made_kept_and_made_anew(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(written)]) == 0
    messages = capsys.readouterr().err
    index = index_of(written)
    assert "sampled text of docs (" in messages and index["replays"] == index["missing"] == []
    assert [text["stage"] for text in index["texts"]] == ["early", "middle", "final"]
    for text in index["texts"]:
        assert (text["env"], text["seed"], text["episode_seed"]) == ("docs", 0, 0)
        assert (text["tokens"], text["temperature"]) == (TOKENS, 1.0)
        assert isinstance(text["return_mean"], float)
        assert all(character.isprintable() or character == "\n" for character in text["text"])
        policy = load_policy(written / "policies" / text["run_id"] / f"{text['stage']}.json")
        assert text["text"] == printable_text(policy.generate(TOKENS, 0))
    page = (written / "report.html").read_text()
    assert page.count("<pre tabindex") == 3

    says: list[str] = []
    report.write(written, says.append)
    assert says == [] and index_of(written) == index
    for settings in ({"TOKENS": 40}, {"TEMPERATURE": 0.5}):
        for name, value in settings.items():
            monkeypatch.setattr(text_samples, name, value)
        report.write(written, says.append)
        assert len(says) == 1 and index_of(written)["texts"] != index["texts"]
        says.clear()
    path = written / "policies" / index["texts"][1]["run_id"] / "middle.json"
    text_files.write_json(path, {**text_files.read_json(path, "policy"), "changed": True})
    report.write(written, says.append)
    assert len(says) == 1


def test_films_from_before_give_way_to_texts(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_are_of_text", lambda stages: False)
    monkeypatch.setattr(report, "SIZE", (96, 80))
    report.write(written, lambda text: None)
    assert len(index_of(written)["replays"]) == 3 and index_of(written)["texts"] == []
    monkeypatch.undo()
    report.write(written, lambda text: None)
    assert index_of(written)["replays"] == [] and len(index_of(written)["texts"]) == 3
    assert not list(written.glob("replays/*.mp4"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a b\nc\\n", "a b\nc\\n"),
        (b"a\0b\tc\rd\x1b[31m", r"a\x00b\tc\rd\x1b[31m"),
        ("\u201cé\u201d".encode(), "\u201cé\u201d"),
        (b"\xe2\x80 \xff", r"\xe2\x80 \xff"),
        ("\u202e\u2028\xa0".encode(), r"\u202e\u2028\xa0"),  # would turn or end a line
    ],
)
def test_what_cannot_be_printed_is_escaped(content: bytes, text: str) -> None:
    assert printable_text(content) == text


ANSWERS = """
name: answered
seeds: 1
defaults:
  budget: {generations: 2}
  evaluation: {points: 2, episodes: 2}
  policy: {network: gru_lm, widths: [4], head: deterministic}
environments:
  - {name: reasoning/sums, label: sums, options: {numbers: 2, largest_result: 40}}
agents: [{name: eggroll, with: {population: 2}}]
"""


def test_answers_are_shown_with_their_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "prepare_jax", lambda devices: None)
        folder = ran(tmp_path, sweep_of(ANSWERS))
    assert cli.main(["report", str(folder)]) == 0
    assert "sampled text of sums" in capsys.readouterr().err
    texts = index_of(folder)["texts"]
    assert {text["stage"] for text in texts} >= {"early", "final"}
    policy = load_policy(folder / "policies" / texts[-1]["run_id"] / "final.json")
    for text in texts:
        assert (text["episodes"], text["episode_seed"]) == (text_samples.EPISODES, 0)
        lines = text["text"].split("\n")
        assert len(lines) == text_samples.EPISODES
        assert all(re.match(r"[01]  \d+ [+-] \d+ = :", line) for line in lines)
    assert [policy.transcribe(seed) for seed in range(text_samples.EPISODES)] == lines
    assert "what the policy is asked" in (folder / "report.html").read_text()
    says: list[str] = []
    report.write(folder, says.append)
    assert says == [] and index_of(folder)["texts"] == texts
    path = command.run_replay(folder, stage="final")
    assert path.suffix == ".txt" and path.read_text().endswith(texts[-1]["text"] + "\n")
    with pytest.raises(UserError, match="reasoning/sums generates no text"):
        policy.generate()


def test_where_episodes_are_no_text_it_is_said(written: Path) -> None:
    policy = load_policy(next(written.glob("policies/*/final.json")))
    with pytest.raises(UserError, match="^text/python_docs: its episodes are no text"):
        policy.transcribe()
