"""Low rank beside full rank where both are known: what is measured, its table, figure and page."""

import jax
import numpy as np
import pandas as pd
import pytest

from rl_es import cli, gradients
from rl_es.analysis.gradients import tables
from rl_es.analysis.gradients.report import write
from rl_es.analysis.gradients.tables import rank_bias
from rl_es.gradients import expectations
from rl_es.results import gradient_estimates
from rl_es.sweep.cells import expand_cells, group_cells
from rl_es.sweep.queue import make_group_training
from tests.artifacts import REFERENCE
from tests.running import sweep_of

RANK_BIAS = REFERENCE / "rank_bias"
TEXT = """
name: known
seeds: 4
defaults:
  budget: {generations: 40}
  policy: {network: linear, head: deterministic, init: zeros}
  agent: {population: 2048, sigma: 0.3, shaping: raw}
environments:
  - name: unrolled/cubic
    label: cubes
    options: {inputs: 3, outputs: 2, steps: 2, control: 0.3}
agents:
  - full_rank_es
  - {name: eggroll, grid: {factors: [normal, sphere], rank: [1, 3]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # What a command tells jax would stay: other tests of this process have their own.
        patch.setattr(gradients, "prepare_jax", lambda devices: None)
        out = tmp_path_factory.mktemp("bias")
        gradients.run_gradients(sweep_of(TEXT), out, quiet=True)
        write(out)
        yield out


def test_estimates_are_on_average_what_is_known(folder):
    """Through the strategies themselves: also the order of the numbers of a matrix."""
    for _, own in gradient_estimates.load(folder).groupby("label"):
        mean, exact = np.mean(own["mean"].to_list(), 0), np.array(own["exact"].iloc[0])
        error = np.sqrt((own["variance"] / own["samples"]).mean() / len(own))
        assert np.linalg.norm(mean - exact) < 3 * error
        assert own["rank"].isna().all() or np.linalg.norm(exact) > 4 * error


def test_the_table_holds_the_distances(folder):
    table = rank_bias(gradient_estimates.load(folder))
    assert table["factors"].tolist() == ["normal"] * 4 + ["sphere"] * 4
    assert table["reference"].tolist() == (["known"] * 2 + ["measured"] * 2) * 2
    assert table["rank"].tolist() == [1, 3] * 4 and (table["n"] == 4).all()
    products = table["exact"] * table["rank"]
    np.testing.assert_allclose(products[:4], products[0])
    sphere = (9 * 3 * 2 / (5 * 4) - 3) / 6  # inputs M = 3, outputs N = 2: (9 k - 3) / 6
    np.testing.assert_allclose(products[4:], -sphere * products[0])
    inside = (table["low"] <= table["exact"]) & (table["exact"] <= table["high"])
    assert inside.sum() >= 6
    normal = table[table["factors"] == "normal"]
    assert (normal["slope_low"] < -0.5).all() and (normal["slope"] < 0).all()


def test_the_report_and_what_is_drawn_of_tables_alone(folder, tmp_path):
    page = (folder / "index.md").read_text()
    assert "figures/rank_bias.png" in page and "eggroll, sphere factors: slope known" in page
    assert "`reference`" in page and "distance from pes" not in page
    for name in ("gradients.csv", "summary.csv", "rank_bias.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    pd.testing.assert_frame_equal(
        tables.load(tmp_path).bias, tables.load(folder).bias, check_dtype=False
    )


@pytest.mark.parametrize(
    ("change", "known"),
    [
        (("", ""), True),
        (("shaping: raw", "shaping: z_score"), False),
        (("sigma: 0.3", "sigma: 0.3, sigma_decay: 0.9"), False),
        (("head: deterministic", "head: gaussian"), False),
        (("zeros}", "zeros, normalise_observations: true}"), False),
        (("label: cubes", "label: cubes\n    reward_scale: 2.0"), False),
        (("unrolled/cubic", "unrolled/linear"), False),
    ],
)
def test_what_makes_estimates_others_is_not_known(change, known):
    text = TEXT.replace(*change)
    if "unrolled/linear" in text:
        text = text.replace("{inputs: 3, outputs: 2, steps: 2, control: 0.3}", "{size: 3}")
    group = group_cells(expand_cells(sweep_of(text)))[-1]
    cell, learner = group.cells[0], make_group_training(group).learner
    params = learner.policy.init(jax.random.key(0))
    found = expectations(cell, learner.env, params)
    assert found["rank"] == 3
    assert (found["exact"] is not None) == (found["exact_full"] is not None) == known


def test_the_committed_tables_are_drawn_and_have_the_slope(tmp_path):
    arguments = ["figures", str(RANK_BIAS), "--kind", "rank_bias", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0
    assert (tmp_path / "rank_bias.png").exists()
    table = pd.read_csv(RANK_BIAS / "rank_bias.csv")
    for (factors, _), own in table.groupby(["factors", "reference"]):
        assert own["rank"].tolist() == [1, 2, 4, 8, 16, 32]
        first = own.iloc[0]
        if factors == "orthogonal":  # beyond full rank from rank 16 on
            assert np.isnan(first["slope"])
            continue
        assert first["slope_low"] < -1 < first["slope_high"]
        assert first["slope_high"] - first["slope_low"] < 0.05
        np.testing.assert_allclose(own["distance"], own["exact"], rtol=0.05)
