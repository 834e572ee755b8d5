"""Sweep files as plain data, and overrides: what is read, what is refused, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rl_es.errors import UserError
from rl_es.sweep.loading import override, validate_sweep
from rl_es.sweep.schema import Sweep
from rl_es.sweep.yaml_reader import Document, parse_value, parse_yaml, read_yaml

pytestmark = pytest.mark.usefixtures("toys")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5e8", 500_000_000),
        ("1E6", 1_000_000),
        ("1_000", 1000),
        ("2.0", 2),
        (".5", 0.5),
        ("-1.5e+2", -150),
        ("010", 10),
        ("true", True),
        ("yes", "yes"),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
        ("'5'", "5"),
        ("1e300", 1e300),
        ("[1e2, {a: b}]", [100, {"a": "b"}]),
    ],
)
def test_values(text: str, value: object) -> None:
    read_value = parse_value(text)
    assert read_value == value and type(read_value) is type(value)


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "a (line 1): key given twice (lines 1 and 3)"),
        ("a: {b: 1, b: 2}", "a.b (line 1): key given twice"),
        ("a:", "a (line 1): has no value (null)"),
        ("a: [1, ~]", "a[1] (line 1): has no value (null)"),
        ("a: .nan", "must be a finite number, is .nan"),
        ("a: -.inf", "must be a finite number"),
        ("a: 1e999", "must be a finite number"),
        ("", "empty"),
        ("# nothing", "empty"),
        ("- a", "not a mapping"),
        ("text", "not a mapping"),
        ("a: [", "(line 1): not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "tags are not read"),
        ("a: !!set {b, c}", "tags are not read"),
        ("a: !own 'x'", "tags are not read"),
        ("[a]: 1", "a key must be text"),
        ("a: &a [*a]", "too many nested or aliased values"),
        (BOMB, "too many nested or aliased values"),
        ("a: " + "[" * 60 + "]" * 60, "too many nested or aliased values"),
        ("a: " + "[" * 5000, "nested too deep"),
        ('a: "\\UFFFFFFFF"', "not valid YAML"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_yaml(text, "toy.yaml")
    assert "toy.yaml" in str(caught.value) and message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_null_description() -> None:
    assert parse_yaml("description:", "toy.yaml").content == {"description": None}


def test_alias_is_a_copy() -> None:
    document = parse_yaml("a: &x {b: 1}\nc: *x", "toy.yaml")
    override(document, ["c.b=2"])
    assert document.content == {"a": {"b": 1}, "c": {"b": 2}}


def test_files(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text("a: 1")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    (tmp_path / "large.yaml").write_bytes(b"a" * 300_000)
    for name, message in (
        ("quik.yaml", "no such file; did you mean 'quick.yaml'?"),
        ("nowhere/x.yaml", "no such file"),
        (".", "is a folder"),
        ("quick.yaml/x", "cannot be read"),
        ("bytes.yaml", "not UTF-8"),
        ("large.yaml", "too large"),
    ):
        with pytest.raises(UserError) as caught:
            read_yaml(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and message in str(caught.value)


LISTS = """
defaults: {budget: {generations: 5}}
environments:
  - {name: a, budget: {env_steps: 7}, policy: {network: mlp, head: auto}}
  - brax/b
agents:
  - one
  - {name: two, label: two r0.5, with: {lr: 1}}
"""


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("seeds=3", ["seeds"], 3),
        ("defaults.policy.widths=[8, 8]", ["defaults", "policy", "widths"], [8, 8]),
        ("agents.0.with.lr=1e-1", ["agents", 0], {"name": "one", "with": {"lr": 0.1}}),
        ("agents.one.with.lr=2", ["agents", 0], {"name": "one", "with": {"lr": 2}}),
        ("agents.two.with.lr=2", ["agents", 1, "with"], {"lr": 2}),
        ("agents.two r0.5.with.lr=2", ["agents", 1, "with"], {"lr": 2}),
        ("environments.brax/b.threshold=3", ["environments", 1, "threshold"], 3),
        ("agents=[two]", ["agents"], ["two"]),
        ("defaults.budget.seconds=9", ["defaults", "budget"], {"seconds": 9}),
        ("budget.env_steps=9", ["defaults", "budget"], {"env_steps": 9}),
        ("policy.head=gaussian", ["environments", 0, "policy"], {"network": "mlp"}),
        ("description=a=b", ["description"], "a=b"),
        ("description=", ["description"], ""),
    ],
)
def test_override(assignment: str, path: list[str | int], value: object) -> None:
    document = parse_yaml(LISTS, "toy.yaml")
    override(document, [assignment])
    content: object = document.content
    for part in path:
        content = content[part]  # type: ignore[index]
    assert content == value


def test_budget_of_the_whole_sweep_replaces_every_other() -> None:
    document = parse_yaml(LISTS, "toy.yaml")
    override(document, ["budget.env_steps=9"])
    assert "budget" not in document.content["environments"][0]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("seeds", "must be PATH=VALUE"),
        ("=3", "must be PATH=VALUE"),
        ("a..b=3", "must be PATH=VALUE"),
        ("agents.7.label=x", "there is no item 7; the list has 2"),
        ("agents.ones.label=x", "nothing is labelled 'ones'; did you mean 'one'?"),
        ("agents.0.name.x=1", "is a value"),
        ("seeds=[1", "not valid YAML"),
        ("seeds=.nan", "finite"),
    ],
)
def test_override_refused(assignment: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        override(parse_yaml(LISTS, "toy.yaml"), [assignment])
    assert f"--set {assignment}" in str(caught.value) and message in str(caught.value)


def _outcome(read: Callable[[], Document]) -> None:
    """A sweep or a `UserError` of three lines at most; anything else propagates."""
    try:
        sweep = validate_sweep(read())
    except UserError as error:
        assert 1 <= len(str(error).splitlines()) <= 3
    else:
        assert isinstance(sweep, Sweep)


fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzz
@given(st.text())
def test_any_text(text: str) -> None:
    _outcome(lambda: parse_yaml(text, "toy.yaml"))


@fuzz
@given(st.text(alphabet="abn:-[]{},&*!|>'\"#%@`? \n\t0123.eE~<=", max_size=60))
def test_any_punctuation(text: str) -> None:
    _outcome(lambda: parse_yaml(text, "toy.yaml"))


@fuzz
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "toy.yaml"
    path.write_bytes(content)
    _outcome(lambda: read_yaml(path))


LEAVES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["Toy-v0", "plain", "strategy", "lr", "mlp", "env_steps"]),
)
WORDS = (
    "name label seeds first count defaults budget env_steps evaluation points policy widths agent "
    "lr environments options backend agents with grid random samples uniform choice plain x"
)
KEYS = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
TOP = {"name": "toy", "seeds": 1, "environments": ["Toy-v0"], "agents": ["plain"]}


@fuzz
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_structure(changes: dict[str, object]) -> None:
    content = {**TOP, "defaults": {"budget": {"generations": 1}}, **changes}
    _outcome(lambda: Document("toy.yaml", content))
