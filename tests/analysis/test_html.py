"""`report.html` as a file: what it holds, what it leaves beside, what it never loads."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_es import cli, registry
from rl_es.analysis import formatting, sweep_report, sweep_tables
from rl_es.analysis.curves import align, counted_curves, curves_of_runs
from rl_es.analysis.html import report as html
from rl_es.analysis.results import load_results
from rl_es.analysis.statistics.intervals import bootstrap
from rl_es.config import COLOURS, LINES, MARKERS, Style
from rl_es.errors import UserError
from rl_es.results import manifest, replays, text_files
from tests.analysis import films, kinds

Results = Callable[..., Path]
LOADS = ("src", "href", "poster", "data", "action", "srcset", "background")


@pytest.fixture(autouse=True)
def few_figures() -> Iterator[None]:
    """One kind is enough here."""
    with kinds.only("learning_curves"):
        yield


class Addresses(HTMLParser):
    """Collects what a page would load or lead to, and the text of its styles."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str, str]] = []
        self.styles = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.addresses += [(tag, name, value or "") for name, value in attrs if name in LOADS]

    def handle_data(self, data: str) -> None:
        self.styles += data if self.inside == "style" else ""


def _addresses(folder: Path) -> Addresses:
    parser = Addresses()
    parser.feed((folder / html.NAME).read_text())
    return parser


def test_nothing_is_loaded_from_elsewhere(results: Results) -> None:
    folder = results()
    films.write(folder, [("cartpole", "pes")])
    sweep_report.write(folder)
    read = _addresses(folder)
    assert {tag for tag, *_ in read.addresses} == {"link", "a", "img", "video"}
    for tag, _, value in read.addresses:
        assert re.match(r"data:|#|[\w.]+(/[\w.-]+)?/?$", value), (tag, value)
        if tag in ("img", "video", "link"):
            assert value.startswith("data:")
    assert "url(" not in read.styles and "@import" not in read.styles
    beside = {value for _, _, value in read.addresses if value[:5] != "data:" and value[0] != "#"}
    assert "figures/learning_curves.svg" in beside and "replays/" in beside
    for address in beside:
        assert (folder / address).exists(), address
    assert (folder / html.NAME).stat().st_size < 6_500_000


def test_what_ends_a_line_of_a_script_is_escaped(results: Results) -> None:
    folder = results(["<!--"], ["a\u2028</script>"])
    sweep_report.write(folder)
    script = (folder / html.NAME).read_text().split('id="curves-data">')[1].split("</script>")[0]
    assert json.loads(script)["labels"][0]["name"] == "a\u2028</script>"
    assert not set(script) & set("<>&\u2028")


def test_films_beyond_the_room_lie_beside(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results(["cartpole"], ["pes"])
    large = films.write(folder, [("cartpole", "pes")])
    large[0].write_bytes(large[0].read_bytes() + bytes(html.MOST_PAGE))
    sweep_report.write(folder)
    videos = [
        value
        for tag, name, value in _addresses(folder).addresses
        if (tag, name) == ("video", "src")
    ]
    assert videos[0] == "replays/0-early.mp4"
    assert all(video.startswith("data:video/mp4;base64,") for video in videos[1:])
    assert (folder / html.NAME).stat().st_size < 15_000_000
    monkeypatch.setattr(html, "MOST_PICTURES", 0)
    sweep_report.write(folder)
    pictures = [value for tag, name, value in _addresses(folder).addresses if tag == "img"]
    assert pictures == ["figures/learning_curves.png"]


def test_the_smallest_files_are_held(tmp_path: Path) -> None:
    paths = [tmp_path / f"{size}.png" for size in (30, 3, 300)]
    for path in paths:
        path.write_bytes(bytes(int(path.stem)))
    assert html.fit_bytes(paths, 3) == frozenset()
    assert html.fit_bytes(paths, 4) == {paths[1]}
    assert html.fit_bytes(paths, 44) == set(paths[:2])
    assert html.fit_bytes([*paths, *paths], 444) == set(paths)
    assert all(
        html.encoded_length(p) == len(html.data_address(p, paths).split(",")[1]) for p in paths
    )


def test_the_curves_are_those_of_the_figures(results: Results) -> None:
    folder = results(lanes=2, ends={("pendulum", "pes", 1): "diverged"})
    tables = load_results(folder)
    data = html.curve_data(tables, replicates=100)
    axes = {
        "environment steps": "env_steps",
        "generations": "generation",
        "episodes": "episodes",
    }
    titles = [axis["title"] for axis in data["axes"]]
    assert titles == [
        "environment steps",
        "wall-clock seconds per run",
        "generations",
        "episodes",
    ]
    for title, column in axes.items():
        for environment in data["environments"]:
            for curve in environment["curves"][titles.index(title)]:
                label = data["labels"][curve["label"]]["name"]
                runs = tables.runs
                runs = runs[(runs["env"] == environment["name"]) & (runs["label"] == label)]
                seeds = curves_of_runs(tables.curves, runs, tables.curves[column])
                grid, returns = align(counted_curves(seeds))
                interval = bootstrap(returns, replicates=100)
                close = {"rtol": 10.0 ** (1 - html.DIGITS)}
                np.testing.assert_allclose(curve["x"], grid, **close)
                np.testing.assert_allclose(curve["mean"], interval.estimate, **close)
                np.testing.assert_allclose(curve["low"], interval.low, **close)
                np.testing.assert_allclose(curve["high"], interval.high, **close)
                assert curve["n"] == interval.n
                assert [seed["lost"] for seed in curve["seeds"]] == [
                    seed.status == "diverged" for seed in seeds
                ]
    seconds = data["environments"][0]["curves"][1][0]
    assert seconds["x"][-1] == 10  # 20 seconds, shared by two


def test_an_axis_that_one_environment_lacks(results: Results) -> None:
    tables = load_results(results(["a", "b"]))
    tables.curves.loc[tables.curves["env"] == "a", "generation"] = None
    first, second = html.curve_data(tables, replicates=10)["environments"]
    assert [curve["x"] for curve in first["curves"][2]] == [[], []]
    assert all(curve["x"][-1] == 100 for curve in second["curves"][2])


def test_curves_have_the_baselines_and_the_return_of_their_environment(results: Results) -> None:
    tables = replace(load_results(results(["a", "b"])), baselines={"b": {"unigram": -4.4}})
    tables.runs.loc[tables.runs["env"] == "b", "environment"] = '{"name": "text/austen"}'
    first, second = html.curve_data(tables, replicates=10)["environments"]
    assert first["baselines"] == [] and first["return"] == "return"
    assert second["baselines"] == [{"name": "unigram", "y": -4.4}]
    assert second["return"] == "log2-likelihood (bits/byte)"


def test_many_curves_are_thinned(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_NUMBERS", 100)
    monkeypatch.setattr(html, "FEWEST_POINTS", 4)
    data = html.curve_data(load_results(results(["a", "b"])), replicates=10)
    assert not data["seeds"]
    curves = [curve for environment in data["environments"] for curve in environment["curves"][0]]
    for curve in curves:
        assert len(curve["x"]) == 4 and curve["x"][0] == 0 and curve["seeds"] == []


def test_every_style_of_the_figures_has_a_look() -> None:
    looks = {
        tuple(html.label_styles(Style(colour, line, marker)).items())
        for colour in COLOURS
        for line in LINES
        for marker in MARKERS
    }
    assert len(looks) == len(COLOURS) * len(LINES) * len(MARKERS)


def test_without_the_libraries_all_else_is_written(
    results: Results, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results()
    monkeypatch.setattr(html, "NEEDS", ("plotly", "no_such_library"))
    assert cli.main(["report", str(folder)]) == 0
    assert (folder / "index.md").exists() and not (folder / html.NAME).exists()
    line = capsys.readouterr().out.splitlines()[-1]
    command = registry.install_command("report")
    assert line == f"no report.html: needs no_such_library ({command})"
    monkeypatch.undo()
    assert cli.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / html.NAME)


def test_a_lead_stands_out_only_where_it_is_supported(results: Results) -> None:
    digest = replace(sweep_tables.make_digest(load_results(results())), best=[])
    assert not any(cell.strong for row in sweep_tables.summary_table(digest).rows for cell in row)
    rows = sweep_tables.summary_table(replace(digest, best=[("pendulum", "pes")])).rows
    strong = [[cell.text for cell in row if cell.strong] for row in rows]
    assert [row[0] for row in strong if row] == ["pes"]


def test_the_header_says_when_and_where(results: Results) -> None:
    folder = results(lanes=2)
    start = {"time": "2026-05-01T10:20:30+00:00", "processor": "A <fast> one", "machine": "Linux"}
    content = {"sweep": {"name": "demo", "description": "why & how"}, "starts": [start, start]}
    text_files.write_json(folder / "manifest.json", content)
    assert manifest.read_sweep_manifest(folder).of_starts("processor") == ["A <fast> one"]
    sweep_report.write(folder)
    text = (folder / html.NAME).read_text()
    assert "<title>demo: results</title>" in text and "why &amp; how" in text
    line = "2 agents · 2 environments · 3 seeds · 0 s of training · A &lt;fast&gt; one · 2026-05-01"
    assert line in text


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"missing": [{"env": "a"}]},
        {"replays": [{"env": "a", "label": "b", "seed": 0, "stage": "late"}]},
        {"replays": None},
    ],
)
def test_a_damaged_list_of_replays_is_the_readers_error(tmp_path: Path, change: dict) -> None:
    (tmp_path / "replays").mkdir()
    content = {"schema_version": 1, "replays": [], "missing": [], **change}
    text_files.write_json(tmp_path / "replays" / "replays.json", content)
    with pytest.raises(UserError, match="not a readable list of replays"):
        _film_strips(tmp_path)


@pytest.mark.parametrize("name", ["../secret.mp4", "gone.mp4", "javascript:alert(1)", None])
def test_a_film_that_is_not_in_the_folder_is_not_shown(tmp_path: Path, name: str | None) -> None:
    films.write(tmp_path, [("cartpole", "pes")])
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    path = tmp_path / "replays" / "replays.json"
    content = json.loads(path.read_text())
    content["replays"][1]["video"] = name
    text_files.write_json(path, content)
    (strip,) = _film_strips(tmp_path)
    assert [film["stage"] for film in strip["films"]] == ["early", "final"]


def _film_strips(folder: Path) -> list[dict[str, Any]]:
    return html.film_strips(folder, replays.read_replays(folder).replays, ())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "return 15.00 in 10 steps"),
        ({"return": None, "speed": None}, "return \N{EM DASH} in 10 steps"),
        ({"steps": 1000, "speed": 0.5}, "return 15.00 in 1,000 steps, 0.5 × real time"),
    ],
)
def test_what_is_said_of_a_film(tmp_path: Path, change: dict, text: str) -> None:
    films.write(tmp_path, [("cartpole", "pes")])
    path = tmp_path / "replays" / "replays.json"
    content = json.loads(path.read_text())
    content["replays"][0] |= change
    text_files.write_json(path, content)
    assert _film_strips(tmp_path)[0]["films"][0]["text"] == text


def test_cells() -> None:
    unknown = [
        formatting.number_cell(None),
        formatting.number_cell(float("nan")),
        formatting.interval_cell(np.nan, 1.0),
    ]
    assert all(cell.text == "\N{EM DASH}" and cell.key != cell.key for cell in unknown)
    texts = [
        formatting.steps_cell(steps).text
        for steps in (np.inf, 999.4, 999.6, 98_916, 1.5e6, 9.996e5)
    ]
    assert texts == ["\N{INFINITY}", "999", "1.00k", "98.9k", "1.50M", "1.00M"]
    assert (
        formatting.text_cell(float("nan")) == formatting.text_cell(None) == formatting.TableCell("")
    )


def test_totals_stand_in_both_pages_where_there_are_several(results: Results) -> None:
    folder = results(threshold=90.0)
    sweep_report.write(folder)
    for name in ("report.html", "index.md"):
        text = (folder / name).read_text()
        assert "Over all environments" in text and "interquartile mean" in text
        assert "0 is untrained, 1 is threshold" in text
    digest = sweep_tables.make_digest(load_results(folder))
    assert [row[0].text for row in sweep_tables.totals_table(digest).rows] == ["eggroll", "pes"]
    alone = sweep_tables.make_digest(load_results(folder).within(["cartpole"]))
    assert sweep_tables.has_totals(digest) and not sweep_tables.has_totals(alone)
