"""Action heads: what is chosen, how often, and which head an action space gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_es.errors import UserError
from rl_es.interfaces import Box, Discrete
from rl_es.rollout.heads import Categorical, Gaussian, Greedy, Mean, make_head, stochastic

LOGITS = np.array([1.0, -0.5, 3.0, 0.2], np.float32)
BOX = Box(np.full((2, 3), -1, np.float32), np.full((2, 3), 1, np.float32))


def draws(head, params, output, mask=None, count=40_000):
    keys = jax.random.split(jax.random.key(0), count)
    output = jnp.asarray(output, jnp.float32)
    return np.asarray(jax.vmap(lambda key: head.act(params, output, mask, key))(keys))


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@pytest.mark.parametrize("mask", [None, [True, True, False, True]])
def test_categorical_frequencies_follow_softmax(mask):
    actions = draws(Categorical(4), {}, LOGITS, None if mask is None else jnp.array(mask))
    truth = softmax(LOGITS if mask is None else np.where(mask, LOGITS, -np.inf))
    assert actions.dtype == np.int32
    frequencies = np.bincount(actions, minlength=4) / actions.size
    assert np.all(frequencies[truth == 0] == 0)
    error = np.sqrt(truth * (1 - truth) / actions.size)
    assert np.all(np.abs(frequencies - truth) <= 4.5 * error)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_is_a_power_of_the_density(temperature):
    """Differences of log-probabilities are divided by it."""
    categorical, gaussian = Categorical(4), Gaussian((2, 3))
    actions = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    for head, params, output, choices in (
        (categorical, {}, LOGITS, np.arange(4)),
        (gaussian, {"log_std": jnp.linspace(-1, 1, 6).reshape(2, 3)}, np.ones(6, "f4"), actions),
    ):
        plain = [head.log_prob(params, jnp.asarray(output), None, choice) for choice in choices]
        params, output = head.temper(params, jnp.asarray(output), jnp.float32(temperature))
        tempered = [head.log_prob(params, output, None, choice) for choice in choices]
        np.testing.assert_allclose(np.diff(plain) / temperature, np.diff(tempered), rtol=2e-4)


def test_a_forbidden_action_is_never_chosen_however_large_its_output():
    mask, output = jnp.array([False, True, True]), [1e30, 0.0, 0.0]
    actions = draws(Categorical(3), {}, output, mask, 1000)
    assert set(actions) == {1, 2}
    assert int(Greedy(3).act({}, jnp.array([1e30, -5.0, -4.0]), mask, jax.random.key(0))) == 2


def test_greedy_takes_the_largest_output():
    action = Greedy(4).act({}, jnp.array(LOGITS), None, jax.random.key(0))
    assert (int(action), action.dtype) == (2, jnp.int32)


def test_gaussian_has_the_mean_and_the_evolved_deviation():
    head = Gaussian((2, 3))
    assert head.outputs == 6
    np.testing.assert_array_equal(head.init()["log_std"], np.zeros((2, 3)))
    output = np.arange(6, dtype=np.float32)
    std = np.exp(np.linspace(-1.5, 1, 6, dtype=np.float32)).reshape(2, 3)
    actions = draws(head, {"log_std": jnp.log(std)}, output)
    deviation = (actions.mean(0) - output.reshape(2, 3)) / (std / np.sqrt(len(actions)))
    assert np.abs(deviation).max() < 4.5
    np.testing.assert_allclose(actions.std(0), std, rtol=0.02)
    corners = np.corrcoef(actions.reshape(-1, 6).T) - np.eye(6)
    assert np.abs(corners).max() < 0.03, "components are drawn independently"


def test_the_deterministic_head_of_real_actions_gives_the_output():
    action = Mean((2, 3)).act({}, jnp.arange(6.0), None, jax.random.key(0))
    np.testing.assert_array_equal(action, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize(
    ("kind", "space", "head"),
    [
        ("auto", Discrete(3), Categorical(3)),
        ("categorical", Discrete(3), Categorical(3)),
        ("deterministic", Discrete(3), Greedy(3)),
        ("auto", BOX, Gaussian((2, 3))),
        ("gaussian", BOX, Gaussian((2, 3))),
        ("deterministic", BOX, Mean((2, 3))),
    ],
)
def test_the_head_of_an_action_space(kind, space, head):
    assert make_head(kind, space) == head


@pytest.mark.parametrize(("kind", "space"), [("gaussian", Discrete(3)), ("categorical", BOX)])
def test_a_head_that_does_not_fit_is_refused(kind, space):
    with pytest.raises(UserError, match=f"head: {kind} needs .* choose .* deterministic") as error:
        make_head(kind, space)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("mask", [None, [True, True, False, True]])
def test_the_categorical_density_is_softmax(mask):
    masked = None if mask is None else jnp.array(mask)
    truth = softmax(LOGITS if mask is None else np.where(mask, LOGITS, -np.inf))
    head, output = Categorical(4), jnp.asarray(LOGITS)
    result = [float(head.log_prob({}, output, masked, jnp.int32(a))) for a in range(4)]
    np.testing.assert_allclose(np.exp(result), truth, rtol=1e-5)
    own = truth[truth > 0]
    entropy = -(own * np.log(own)).sum()
    np.testing.assert_allclose(head.entropy({}, output, masked), entropy, rtol=1e-5)

    def both(x):
        return head.entropy({}, x, masked) + head.log_prob({}, x, masked, jnp.int32(0))

    slope = jax.grad(both)(output)
    assert np.isfinite(slope).all() and np.all(np.asarray(slope)[truth == 0] == 0)


def test_where_no_action_is_allowed_none_is_forbidden():
    """Some environments are alive for one more step without an action that they allow."""
    head, output, none = Categorical(4), jnp.asarray(LOGITS), jnp.zeros(4, bool)
    assert set(draws(head, {}, LOGITS, none, 2000)) == {0, 1, 2, 3}
    assert set(draws(Greedy(4), {}, LOGITS, none, 10)) == {2}
    value, slope = jax.value_and_grad(lambda x: head.log_prob({}, x, none, jnp.int32(1)))(output)
    np.testing.assert_allclose(value, np.log(softmax(LOGITS)[1]), rtol=1e-5)
    assert np.isfinite(slope).all() and np.isfinite(head.entropy({}, output, none))


def test_the_gaussian_density_has_the_entropy_of_its_samples():
    head, output = Gaussian((2, 3)), jnp.arange(6.0)
    params = {"log_std": jnp.linspace(-1, 1, 6).reshape(2, 3)}
    actions = draws(head, params, output)
    logs = jax.vmap(lambda action: head.log_prob(params, output, None, action))(actions)
    error = 5 * float(logs.std()) / np.sqrt(len(actions))
    assert abs(float(head.entropy(params, output, None)) + float(logs.mean())) < error
    # the density at the mean of six independent normal variables
    at_mean = -np.log(2 * np.pi) * 3 - float(params["log_std"].sum())
    result = head.log_prob(params, output, None, output.reshape(2, 3))
    np.testing.assert_allclose(result, at_mean, rtol=1e-5)


def test_what_samples_around_a_deterministic_head():
    assert stochastic(Greedy(3)) == Categorical(3) and stochastic(Mean((2,))) == Gaussian((2,))
    assert stochastic(Categorical(3)) == Categorical(3)


RANGE = Box(np.array([-1.0, 2.0], np.float32), np.array([3.0, 2.5], np.float32))


def test_a_tanh_reaches_from_one_bound_to_the_other():
    head = make_head("tanh", RANGE)
    key = jax.random.key(0)
    for output, action in ((0.0, [1.0, 2.25]), (50.0, RANGE.high), (-50.0, RANGE.low)):
        outputs = jnp.full(head.outputs, output)
        np.testing.assert_allclose(head.act({}, outputs, None, key), action)


def test_the_density_of_a_squashed_sample_is_that_of_its_frequencies():
    """In units of half the range: in a bin, 1 / density has the mean width / probability."""
    head = make_head("tanh_gaussian", Box(np.zeros(1, np.float32), np.full(1, 4, np.float32)))
    output = jnp.array([0.3, -0.7])
    noise = jax.random.normal(jax.random.key(0), (400_000, 1))
    actions, log_densities = jax.vmap(lambda n: head.squash_noise(output, n))(noise)
    unit = np.asarray(actions)[:, 0] / 2 - 1
    edges = np.linspace(-0.5, 0.9, 15)
    counts, _ = np.histogram(unit, edges)
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        inside = (unit >= low) & (unit < high)
        inverse = np.exp(-np.asarray(log_densities))[inside].mean()
        assert inverse == pytest.approx((high - low) * len(unit) / count, rel=0.03)


def test_the_mean_of_a_squashed_sample_is_that_without_noise():
    sample, mean = (make_head(kind, RANGE) for kind in ("tanh_gaussian", "tanh_mean"))
    output, key = jnp.array([0.5, -1.0, -0.3, 0.7]), jax.random.key(0)
    assert sample.outputs == mean.outputs == 4
    action, _ = sample.squash_noise(output, jnp.zeros(2))
    np.testing.assert_array_equal(mean.act({}, output, None, key), action)
    assert not np.array_equal(sample.act({}, output, None, key), action)


@pytest.mark.parametrize("kind", ["tanh", "tanh_gaussian", "tanh_mean"])
def test_a_tanh_needs_bounds_and_has_no_entropy(kind):
    with pytest.raises(UserError, match=f"head: {kind} needs real actions"):
        make_head(kind, Discrete(3))
    unbounded = np.full(2, np.inf, np.float32)
    with pytest.raises(UserError, match=f"head: {kind} needs actions with bounds"):
        make_head(kind, Box(-unbounded, unbounded))
    with pytest.raises(UserError, match="entropy of a tanh is not known"):
        stochastic(make_head(kind, RANGE))
