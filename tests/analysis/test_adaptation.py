"""Figures that are adapted without code: the same settings from three sources, applied once."""

import json
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

import rl_es
from rl_es import cli
from rl_es.analysis import adaptation, gallery, sweep_report
from rl_es.analysis.drawing import DEFAULT_OPTIONS, SHEETS, FigureOptions, NotebookFigure
from rl_es.analysis.figures import aggregates, returns, settings
from rl_es.analysis.figures.catalogue import KINDS as RESULT_KINDS
from rl_es.analysis.results import ResultTables, load_results
from rl_es.analysis.scores import final_scores, score_scale
from rl_es.analysis.statistics import AGGREGATES
from rl_es.errors import UserError
from rl_es.results.figure_settings import FigureName, FigureSettings
from rl_es.results.text_files import write_json
from tests.analysis import kinds
from tests.analysis.conftest import write_run
from tests.analysis.samples import KINDS, LONG, source
from tests.looks import legend, misplaced, texts, titles

Results = Callable[..., Path]
MANY = tuple(f"suite/an-environment-{number}" for number in range(12))
RENAME = {"pes": "Persistent ES", "cartpole": "CartPole"}
BLOCK: dict[str, Any] = {
    "labels": ["pes", "eggroll"],
    "environments": ["pendulum", "cartpole"],
    "rename": RENAME,
    "colours": {"pes": "#123456"},
    "titles": {"learning_curves": "During training"},
    "x_limits": {"learning_curves": [0, 5000]},
    "width": 3.0,
    "height": 2.8,
    "caption": False,
}


@pytest.fixture
def folder(results: Results) -> Path:
    """Two environments and three labels."""
    return results(labels=["eggroll", "open_es", "pes"], threshold=60.0)


def _adapted(folder: Path, **content: Any) -> tuple[ResultTables, FigureOptions]:
    options = FigureOptions(replicates=20, settings=FigureSettings.model_validate(content))
    return adaptation.adapt(load_results(folder), options)


def _check_block(figure: Any) -> None:
    """Checks that a figure of learning curves is as `BLOCK` says."""
    assert titles(figure) == ["pendulum", "CartPole"]
    assert legend(figure)[:2] == ["Persistent ES", "eggroll"]
    (line,) = [x for x in figure.axes[0].lines if x.get_label() == "Persistent ES"]
    assert to_hex(line.get_color()) == "#123456"
    assert figure.axes[1].get_xlim() == (0, 5000)
    np.testing.assert_allclose(figure.get_size_inches(), (3.0, 2.8))
    assert texts(figure) == "During training" and "n = 3 seeds" in figure.notes[0]
    assert not misplaced(figure)


def test_the_same_from_the_sweep_file_the_command_line_and_python(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    keywords = {name: value for name, value in BLOCK.items() if name not in ("titles", "x_limits")}
    limits = BLOCK["x_limits"]["learning_curves"]
    title = BLOCK["titles"]["learning_curves"]
    _check_block(rl_es.plot(folder, title=title, x_limits=limits, replicates=20, **keywords))
    command = ["figures", str(folder), "--kind", "learning_curves", "--replicates", "20"]
    command += ["--label", "pes", "--label", "eggroll", "--env", "pendulum", "--env", "cartpole"]
    command += ["--rename", "pes=Persistent ES", "--rename", "cartpole=CartPole"]
    command += ["--colour", "pes=#123456", "--title", title, "--x-limits", "0", "5000"]
    command += ["--width", "3", "--height", "2.8", "--no-caption", "--format", "png"]
    assert cli.main(command) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.parent.name for path in paths} == {"figures_adapted"}
    pictures = [path.read_bytes() for path in paths if path.suffix == ".png"]
    write_json(folder / "manifest.json", {"sweep": {"name": "demo", "figures": BLOCK}})
    _check_block(rl_es.plot(folder, replicates=20))
    few = replace(DEFAULT_OPTIONS, replicates=20)
    (path, *_) = gallery.draw_figures([folder], tmp_path, ["learning_curves"], few, ["png"])
    assert [path.read_bytes()] == pictures


@pytest.mark.parametrize(
    "kind", ["learning_curves", "wall_clock", "generations", "episodes", "best_so_far"]
)
def test_curves_on_a_logarithmic_axis(folder: Path, kind: str) -> None:
    figure = rl_es.plot(folder, kind, x_scale="log", replicates=20)
    for panel in figure.axes:
        first = min(x for line in panel.lines for x in np.ravel(line.get_xdata()) if x > 0)
        assert panel.get_xscale() == "log" and 0 < panel.get_xlim()[0] < first
        assert len(panel.get_xticks()) >= 3
    assert not misplaced(figure)


def test_the_report_has_the_figures_of_the_sweep_file(folder: Path) -> None:
    content = BLOCK | {"further": ["best_so_far"], "legend": "file"}
    write_json(folder / "manifest.json", {"sweep": {"name": "demo", "figures": content}})
    with kinds.only("learning_curves"):
        paths = {path.name for path in sweep_report.write(folder)}
    assert {"learning_curves.png", "learning_curves.txt", "legend.svg"} <= paths
    assert "The legend of all figures" in (folder / "index.md").read_text()
    assert "open_es" in (folder / "summary.csv").read_text()  # tables have every label
    assert RESULT_KINDS["best_so_far"].in_report(load_results(folder))
    assert not RESULT_KINDS["frontier"].in_report(load_results(folder))


def test_the_interactive_curves_are_those_of_the_figures(folder: Path) -> None:
    write_json(folder / "manifest.json", {"sweep": {"name": "demo", "figures": BLOCK}})
    with kinds.only("learning_curves"):
        sweep_report.write(folder)
    page = (folder / "report.html").read_text()
    data = json.loads(page.split('id="curves-data">')[1].split("</script>")[0])
    assert [label["name"] for label in data["labels"]] == ["Persistent ES", "eggroll"]
    assert data["labels"][0]["colour"] == "#123456"
    assert [environment["name"] for environment in data["environments"]] == ["pendulum", "CartPole"]
    for environment in data["environments"]:
        assert [curve["label"] for curve in environment["curves"][0]] == [0, 1]
    assert "open_<wbr>es" in page.split('id="summary-table"')[1].split("</table>")[0]


def test_the_command_line_overrides_the_sweep_file_key_by_key(folder: Path) -> None:
    write_json(folder / "manifest.json", {"sweep": {"name": "demo", "figures": BLOCK}})
    content, options = _adapted(folder, labels=["open_es"], rename={"open_es": "OpenAI-ES"})
    assert list(content.legend) == ["OpenAI-ES"] and content.environments == [
        "pendulum",
        "CartPole",
    ]
    assert options.settings.rename == {**RENAME, "open_es": "OpenAI-ES"}
    assert options.sheet.width == 3.0 and not options.sheet.caption


def test_captions_stand_in_files_of_text_and_latex(folder: Path, tmp_path: Path) -> None:
    changes = {"caption": False, "rename": {"pes": "50% PES_2"}}
    options = FigureOptions(replicates=20, settings=FigureSettings.model_validate(changes))
    out = tmp_path / "out"
    list(gallery.draw_figures([folder], out, ["improvement"], options, ["pdf"]))
    assert {path.name for path in out.iterdir()} == {
        "improvement.pdf", "improvement.txt", "improvement.tex"
    }  # fmt: skip
    plain, latex = ((out / f"improvement.{form}").read_text() for form in ("txt", "tex"))
    assert plain.startswith("Probability that a run of one label ends above") and "n = 3" in plain
    assert latex.startswith(r"\caption{") and latex.endswith("}\n") and r"95\%" in latex
    list(gallery.draw_figures([folder], out, ["improvement"], DEFAULT_OPTIONS, ["pdf"]))
    assert [path.name for path in out.iterdir()] == ["improvement.pdf"]


def test_one_legend_for_all_figures_has_every_entry_once(folder: Path, tmp_path: Path) -> None:
    options = FigureOptions(replicates=20, settings=FigureSettings(legend="file", width=3.25))
    names = ["learning_curves", "profiles"]
    list(gallery.draw_figures([folder], tmp_path, names, options, ["png"]))
    with Image.open(tmp_path / "legend.png") as image:
        assert image.size[0] == 650 and image.size[1] < 200
    content, options = adaptation.adapt(load_results(folder), options)
    figure = RESULT_KINDS["profiles"].draw_figure(content, options)
    assert isinstance(figure, NotebookFigure) and not figure.legends
    assert [label for _, label in figure.entries] == ["open_es", "eggroll", "pes"]


def test_scores_keep_the_scale_of_all_labels_and_environments(folder: Path) -> None:
    whole = load_results(folder)
    content, options = _adapted(folder, labels=["pes"], environments=["cartpole"], rename=RENAME)
    scale = aggregates.requested_scale(content, replace(options, low="untrained", high="eggroll"))
    of_all = score_scale(whole, "untrained", "eggroll")
    assert scale.environments == ["CartPole"]
    assert scale.high[1]["CartPole"] == of_all.high[1]["cartpole"]
    scores, scores_of_all = final_scores(content, scale), final_scores(whole, of_all)
    np.testing.assert_array_equal(
        scores["Persistent ES"].values, scores_of_all["pes"].in_task("cartpole").values
    )


def test_a_renamed_label_stays_the_one_that_others_are_compared_with(folder: Path) -> None:
    _, options = _adapted(folder, rename={"eggroll": "EGGROLL"})
    assert options.reference == "EGGROLL"
    content, options = _adapted(folder, rename={"eggroll": "EGGROLL"})
    figure = aggregates.draw_improvement(content, options)
    assert titles(figure) == ["over open_es", "over pes"]
    assert figure.axes[0].get_xlabel().replace("\n", " ") == "P(EGGROLL above)"


def test_a_style_file_lies_above_the_suites_style(folder: Path, tmp_path: Path) -> None:
    style = tmp_path / "paper.mplstyle"
    style.write_text("lines.linewidth: 3\nfont.family: serif\n")
    figure = rl_es.plot(folder, replicates=20, style=style)
    line = next(line for line in figure.axes[0].lines if line.get_label() == "pes")
    assert line.get_linewidth() == 3 and figure.axes[0].title.get_fontfamily() == ["serif"]
    after = rl_es.plot(folder, replicates=20).axes[0]
    assert after.lines[0].get_linewidth() < 3 and after.title.get_fontfamily() != ["serif"]
    for content in ("lines.linewidth: thick\n", "no style\n", "lines.widths: 3\n"):
        style.write_text(content)
        with pytest.raises(UserError, match=r"paper\.mplstyle: not a matplotlib style file"):
            rl_es.plot(folder, replicates=20, style=style)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "open_s"], "figures: labels[0]: no label 'open_s' here; did you mean"),
        (["--env", "cartpol"], "figures: environments[0]: no environment 'cartpol' here; did you"),
        (["--rename", "pess=x"], "figures: rename: no label or environment 'pess' here; did you"),
        (["--rename", "pes"], "--rename: must be OLD=NEW; is 'pes'"),
        (["--rename", "pes=eggroll"], "rename: 'eggroll' and 'pes' both become 'eggroll'"),
        (["--colour", "pes=blue"], "--colour: "),
        (["--title", "x"], "--title: needs --kind"),
        (["--width", "0.1"], "--width: must be >= 1, is 0.1"),
        (["--kind", "surface", "--x-limits", "2", "1"], "--x-limits: must be [low, high]"),
        (["--x-scale", "log"], "--x-scale: needs --kind"),
        (["--kind", "surface", "--x-scale", "log"], "--x-scale: must be 'learning_curves', "),
        (["--kind", "learning_curves", "--height", "1"], "a height of 1 inches has no room for"),
        (["--style", "gone.mplstyle"], "gone.mplstyle: no such style file"),
    ],
)
def test_what_cannot_be_adapted_is_said_in_a_line(
    folder: Path, capfd: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert cli.main(["figures", str(folder), "--replicates", "20", *arguments]) == 2
    errors = capfd.readouterr().err
    assert message in errors and len(errors.strip().splitlines()) == 1


def test_python_names_the_keyword(folder: Path) -> None:
    with pytest.raises(UserError, match=r"plot: width: must be >= 1, is 0\.2"):
        rl_es.plot(folder, width=0.2)
    with pytest.raises(UserError, match=r"plot: labels\[0\]: no label 'ppo' here"):
        rl_es.plot(folder, labels=["ppo"])


def test_the_names_of_kinds_are_those_that_there_are() -> None:
    names = [name for collection in gallery.COLLECTIONS for name in collection.kinds]
    assert set(typing.get_args(FigureName)) == set(names)


@pytest.mark.parametrize("name", ["improvement", "normalised", "rank_bias", "time_ratio"])
def test_no_figure_is_higher_than_the_page(name: str) -> None:
    kind = KINDS[name]
    options = FigureOptions(replicates=2, sheet=SHEETS["column"])
    items = list(kind.figures(source(kind, envs=MANY[:6], seeds=1, more=LONG), options))
    for item in items:
        assert item.figure.get_size_inches()[1] <= SHEETS["column"].height
    if name == "improvement":  # each label once, in one of the figures
        assert len(items) > 1
        found = [title.split("\n")[0][:12] for item in items for title in titles(item.figure)]
        assert len(found) == 7 and found[0].startswith("over eggroll")


def test_a_figure_of_a_stated_width_is_no_higher_than_a_page() -> None:
    options = FigureOptions(replicates=2, settings=FigureSettings(width=3.25))
    results = source(KINDS["improvement"], envs=MANY[:6], seeds=1)
    results, options = adaptation.adapt(results, options)
    items = list(KINDS["improvement"].figures(results, options))
    sizes = [item.figure.get_size_inches() for item in items]
    assert len(sizes) > 1 and max(height for _, height in sizes) <= 9.0
    assert {width for width, _ in sizes} == {3.25}


def test_a_height_at_which_names_of_rows_overlap_is_refused(results: Results) -> None:
    folder = results(labels=["eggroll", "open_es", *(f"pes {n}" for n in range(6))], seeds=2)

    def plot(height: float) -> Any:
        return rl_es.plot(
            folder, "normalised", replicates=2, width=3.25, height=height, caption=False
        )

    with pytest.raises(UserError, match="no room for 2 rows of panels; set at least") as error:
        plot(2.0)
    least = float(str(error.value).split("at least ")[1].split(",")[0])
    assert 2.0 < least < 3.0 and not misplaced(plot(least))


def test_no_room_is_left_for_a_legend_and_a_caption_that_stand_elsewhere(folder: Path) -> None:
    figure = rl_es.plot(folder, replicates=2, width=3.0, height=2.0, caption=False, legend="none")
    box = figure.get_tightbbox()  # inches
    margins = [box.x0, box.y0, 3.0 - box.x1, 2.0 - box.y1]
    assert min(margins) > 0.04 and max(margins) < 0.1


def test_long_names_are_broken_and_not_cut() -> None:
    kind = KINDS["learning_curves"]
    name = "brax/an_environment_with_a_name_that_is_longer_than_its_panel"
    options = FigureOptions(replicates=20, sheet=SHEETS["column"])
    (item,) = kind.figures(source(kind, envs=(name, "short", "b", "c"), seeds=1), options)
    title = titles(item.figure)[1]  # environments are in natural order
    assert title.replace("\n", "") == name and title.count("\n") >= 1
    assert not misplaced(item.figure)


def test_sensitivity_needs_several_values_of_one_agent_in_one_environment(tmp_path: Path) -> None:
    for number in range(settings.MIN_VALUES + 1):  # an environment each has one value
        write_run(tmp_path, f"env-{number}", "pes", 0, hyper={"lr": 0.1 * (number + 1)})
    content = load_results(tmp_path)
    assert settings.sensitivity_environments(content, DEFAULT_OPTIONS) == []
    for number in range(settings.MIN_VALUES):
        hyper = {"lr": 0.02 * (number + 1), "sigma": 0.1}
        write_run(tmp_path, "env-0", f"eggroll {number}", 0, agent="eggroll", hyper=hyper)
    content = load_results(tmp_path)
    assert settings.sensitivity_environments(content, DEFAULT_OPTIONS) == ["env-0"]
    part = content.within(["env-0"])
    figure = settings.draw_sensitivity(part, DEFAULT_OPTIONS)
    assert [axes.get_xlabel() for axes in figure.axes] == ["lr"]


def test_iqm_median_mean_and_optimality_gap_stand_side_by_side(folder: Path) -> None:
    content = load_results(folder)
    options = FigureOptions(replicates=20)
    figure = aggregates.draw_aggregates(content, options)
    assert titles(figure) == ["IQM", "median", "mean", "optimality gap"]
    scores = final_scores(content, aggregates.requested_scale(content, options))
    for panel, name in zip(figure.axes, aggregates.STATISTICS, strict=True):
        for row, label in enumerate(scores):
            statistic = AGGREGATES[name](scores[label].tasks)
            dot = panel.lines[2 * row + 1]
            np.testing.assert_allclose(
                np.asarray(dot.get_xdata())[0], statistic(scores[label].values, 0)
            )
    assert "optimality gap: how far runs are below 1" in texts(figure)


def test_a_list_of_figures_is_still_a_list(folder: Path) -> None:
    write_json(folder / "manifest.json", {"sweep": {"name": "demo", "figures": ["frontier"]}})
    content = load_results(folder)
    assert content.optional_figures == {"frontier"}
    assert content.figure_settings == FigureSettings()
    unchanged, options = adaptation.adapt(content, DEFAULT_OPTIONS)
    assert unchanged is content and options.sheet == DEFAULT_OPTIONS.sheet
    assert titles(returns.draw_learning_curves(content, FigureOptions(replicates=2))) == [
        "cartpole", "pendulum"
    ]  # fmt: skip
    assert json.loads((folder / "manifest.json").read_text())["sweep"]["figures"] == ["frontier"]
