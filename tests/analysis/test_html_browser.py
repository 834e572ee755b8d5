"""`report.html` in a real browser that has no network."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from rl_es.analysis import sweep_report
from rl_es.results.text_files import write_json
from tests.analysis import films, kinds
from tests.analysis.conftest import write_run
from tests.artifacts import ARTIFACTS

IMAGE = "<img src=x onerror=window.hit=1>"
SCRIPT = "</script><script>window.hit=2</script>"
ENVS = ("CartPole-v1", "Pendulum-v1", IMAGE)
LABELS = ("eggroll", "pes", SCRIPT, "%{x} & <b>bold</b> &lt;")
TEXTS = {
    "early": f"\nafter a newline  two blanks{IMAGE}",
    "middle": f"</pre>{SCRIPT}&lt;{{{{ 1 }}}}",
    "final": "x" * 300,
}
SIZES = {"desk": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three environments and four labels, some of them hostile, lost runs, films of two runs."""
    folder = tmp_path_factory.mktemp("report") / "demo"
    for env in ENVS:
        for label in LABELS:
            for seed in range(3):
                is_lost = (env, label, seed) == (ENVS[0], "pes", 0)
                changes = (
                    {"status": "diverged", "reason": IMAGE, "evaluations": 4} if is_lost else {}
                )
                write_run(folder, env, label, seed, agent=label[:7], threshold=80.0, **changes)
    write_run(folder, ENVS[1], "eggroll", 3, status="failed", reason=SCRIPT, evaluations=0)
    baselines = {ENVS[1]: {"far": 1e9, IMAGE: 50.0, "near": 60.0}}
    write_json(folder / "manifest.json", {"sweep": {"name": "demo"}, "baselines": baselines})
    reason = [{"env": IMAGE, "label": SCRIPT, "reason": IMAGE}]
    texts = [films.text(IMAGE, SCRIPT, stage, TEXTS[stage]) for stage in sorted(TEXTS)]
    films.write(folder, [(ENVS[0], "eggroll"), (IMAGE, SCRIPT)], reason, texts)
    with kinds.only("learning_curves"):
        sweep_report.write(folder)
    return folder


@dataclass
class Visit:
    """A page, and what it did that it should not."""

    page: playwright.Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@pytest.fixture
def open_report(browser: playwright.Browser, folder: Path) -> Iterator[Callable[..., Visit]]:
    """Opens the report in a context of its own; at the end nothing may have gone wrong in it."""
    visits: list[Visit] = []

    def open_page(size: str = "desk", scheme: str = "light", **more: object) -> Visit:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, **more
        )
        context.set_default_timeout(20_000)
        visit = Visit(context.new_page())

        def route(call: playwright.Route) -> None:
            if call.request.url.startswith("file:"):
                return call.continue_()
            visit.requests.append(call.request.url)
            call.abort()

        context.route("**/*", route)
        visit.page.on("console", lambda message: visit.messages.append(message.text))
        visit.page.on("pageerror", lambda error: visit.messages.append(str(error)))
        visit.page.goto((folder / "report.html").as_uri())
        visits.append(visit)
        return visit

    yield open_page
    for visit in visits:
        assert visit.requests == [] and visit.messages == []
        assert visit.page.evaluate("window.hit") is None
        visit.page.context.close()


def _until(condition: Callable[[], bool]) -> None:
    """Waits by asking: text that a page would have to evaluate is refused by its policy."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _column(page: playwright.Page, place: int) -> list[str]:
    """The texts of a column of the summary."""
    return page.locator(f"#summary tbody td:nth-child({place})").all_inner_texts()


def _traces(page: playwright.Page) -> list[int]:
    """How many traces each panel has."""
    return page.evaluate("[...document.querySelectorAll('.plot')].map((plot) => plot.data.length)")


def test_it_renders_and_fits(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    assert page.locator("section").count() == 10
    picture = page.locator("#figures img")
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 500
    ARTIFACTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        _until(lambda dark=scheme == "dark": (max(_rgb(page)) < 60) == dark)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            # The panels follow a moment later.
            _until(lambda: max(_widths(page)) <= page.locator("#panels").bounding_box()["width"])
            assert page.locator(".plot .main-svg").first.is_visible() and min(_widths(page)) > 300
            assert page.evaluate("document.documentElement.scrollWidth") == width
            image = picture.bounding_box()  # a figure scales with the page, and is not cut
            frame = "(image) => image.parentElement.scrollWidth - image.parentElement.clientWidth"
            assert image is not None and image["width"] > 0.6 * min(width, 500)
            assert image["x"] + image["width"] <= width and picture.evaluate(frame) <= 0
            page.screenshot(path=ARTIFACTS / f"report-{size}-{scheme}.png", full_page=True)


def _rgb(page: playwright.Page) -> list[int]:
    """The colour of the page, 0 to 255 each."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return [int(part) for part in re.findall(r"\d+", colour)]


def _widths(page: playwright.Page) -> list[float]:
    """The widths of the drawings."""
    return page.evaluate("[...document.querySelectorAll('.plot')].map((p) => p._fullLayout.width)")


def test_the_summary_searches_and_sorts(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    search, rows = page.get_by_label("Search").first, page.locator("#summary tbody tr:visible")
    assert rows.count() == 12
    search.fill("pendulum EGG")
    assert rows.count() == 1 and "Pendulum-v1" in rows.inner_text()
    assert page.locator("#summary output").inner_text() == "1 of 12 rows"
    search.fill("")
    assert rows.count() == 12
    for name, column, press in (("final return", 4, False), ("best", 6, True)):
        head = page.locator("#summary th", has_text=name)
        for direction in ("ascending", "descending"):
            head.locator("button").press("Enter") if press else head.locator("button").click()
            assert head.get_attribute("aria-sort") == direction
            assert page.locator("#summary th[aria-sort]").count() == 1
            values = [float(text.replace("\N{MINUS SIGN}", "-")) for text in _column(page, column)]
            assert values == sorted(values, reverse=direction == "descending")
            assert len(set(values)) > 3
    page.locator("#summary th button").first.click()
    names = _column(page, 1)
    assert names == [env for env in dict.fromkeys(names) for _ in LABELS] and len(names) == 12


def test_the_switches_of_the_curves(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    before, names = _traces(page), page.locator(".panel h3").all_inner_texts()
    assert len(before) == 3 and sorted(names) == sorted(ENVS)
    agents = page.get_by_role("group", name="Agents")
    agents.get_by_label("eggroll").press(" ")
    fewer = _traces(page)
    assert [a - b for a, b in zip(before, fewer, strict=True)] == [2, 2, 2]  # line and band
    agents.get_by_role("button", name="None").click()
    assert _traces(page) == [0, 0, 0]
    agents.get_by_role("button", name="All").click()
    assert _traces(page) == before

    environments, headings = (
        page.get_by_role("group", name="Environments"),
        page.locator(".panel h3"),
    )
    environments.get_by_label("CartPole-v1").uncheck()
    assert headings.all_inner_texts() == [env for env in names if env != "CartPole-v1"]
    environments.get_by_label("CartPole-v1").check()
    assert headings.all_inner_texts() == names and _traces(page) == before

    # plotly's own bar offers nothing that would leave the machine.
    titles = page.locator(".modebar-btn").evaluate_all("(all) => all.map((b) => b.dataset.title)")
    assert len(titles) == 12 and not any("hare" in str(name) for name in titles)

    page.get_by_label("single seeds").check()
    # Three seeds a label; the diverged one is always there.
    assert sum(_traces(page)) - sum(before) == 3 * 4 * 3 - 1
    page.get_by_label("single seeds").uncheck()
    page.get_by_label("intervals").uncheck()
    assert sum(before) - sum(_traces(page)) == 12


def test_near_baselines_are_lines_with_names(open_report: Callable[..., Visit]) -> None:
    panels = open_report().page.locator(".panel")
    texts = [panels.nth(i).locator(".textpoint text").all_text_contents() for i in range(len(ENVS))]
    names = [sorted(filter(None, of_panel)) for of_panel in texts]
    assert sorted(names) == [[], [], sorted([IMAGE, "near"])]


def test_the_axis_switches_on_a_phone(open_report: Callable[..., Visit]) -> None:
    page = open_report("phone").page
    furthest = "Math.max(...document.querySelector('.plot').data.at(-1).x)"
    values = {}
    for name in ("generations", "episodes", "wall-clock seconds per run", "environment steps"):
        page.get_by_role("radio", name=name).check()
        assert page.locator(".plot .xtitle").all_text_contents() == [name] * 3
        values[name] = page.evaluate(furthest)
    assert values["generations"] == 100 and values["wall-clock seconds per run"] == 20
    assert 10_000 <= values["environment steps"] <= 10_200
    edges = page.locator(".panel").evaluate_all("(all) => all.map((box) => box.offsetLeft)")
    assert len(set(edges)) == 1  # one column


def test_dark_and_light_switch_and_stay(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    ink = "document.querySelector('.plot').layout.font.color"
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ink), page.evaluate(paper)
    page.get_by_role("button", name="Dark mode").click()
    after = page.evaluate(ink), page.evaluate(paper)
    assert before[0] != after[0] and before[1] != after[1]
    page.reload()
    assert (page.evaluate(ink), page.evaluate(paper)) == after
    page.get_by_role("button", name="Light mode").click()
    assert (page.evaluate(ink), page.evaluate(paper)) == before


def test_a_replay_plays_all_three(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    strip = page.locator(".strip").first
    strip.scroll_into_view_if_needed()
    assert strip.locator("figcaption strong").all_inner_texts() == ["Early", "Middle", "Final"]

    def of_each(name: str) -> list[float]:
        return strip.locator("video").evaluate_all(f"(films) => films.map((film) => film.{name})")

    _until(lambda: min(of_each("readyState")) >= 2)
    assert of_each("duration") == pytest.approx(list(films.SECONDS.values()), abs=0.15)
    assert of_each("currentTime") == [0, 0, 0]
    strip.locator(".play").press("Enter")
    _until(lambda: min(of_each("currentTime")) > 0.2)
    assert strip.locator(".play").inner_text() == "Pause"
    strip.locator(".play").click()
    assert strip.locator(".play").inner_text() == "Play" and all(of_each("paused"))
    strip.locator("input[type=range]").fill("500")
    _until(lambda: of_each("currentTime") == pytest.approx([1, 1.5, 1.5], abs=0.15))
    assert strip.locator(".time").inner_text() == "1.5 of 3.0 s"


@pytest.mark.parametrize("size", SIZES)
def test_texts_are_shown_as_they_were_written(open_report: Callable[..., Visit], size: str) -> None:
    page = open_report(size).page
    samples = page.locator(".samples figure")
    assert samples.locator("strong").all_inner_texts() == ["Early", "Middle", "Final"]
    assert samples.locator("pre").all_text_contents() == list(TEXTS.values())
    assert "300 tokens at temperature 1, episode seed 0" in page.locator(".texts").inner_text()
    assert samples.locator("figcaption").first.inner_text() == "Early mean return \u22124.250"
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == SIZES[size][0]


def test_hostile_text_stays_text(open_report: Callable[..., Visit]) -> None:
    page = open_report().page
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("#switches b").count() == 0
    agents = page.get_by_role("group", name="Agents").locator("span").all_inner_texts()
    assert sorted(agents) == sorted(LABELS)
    assert set(_column(page, 2)) == set(LABELS) and IMAGE in _column(page, 1)
    assert IMAGE in page.locator("#lost").inner_text()
    assert SCRIPT in page.locator("#lost").inner_text()
    assert SCRIPT in page.locator("#replays").inner_text()
    for label in LABELS[2:]:
        assert "n = 3" in _hover_text(page, label)


def _hover_text(page: playwright.Page, label: str) -> str:
    """What is said where the pointer is on a label's line; it begins with the label."""
    name = label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    point = """(name) => {
      const plot = document.querySelector(".plot");
      const place = plot.data.findIndex((t) => t.mode === "lines+markers" && t.name === name);
      Plotly.Fx.unhover(plot);
      Plotly.Fx.hover(plot, [{ curveNumber: place, pointNumber: 3 }]);
    }"""
    page.evaluate(point, name)
    text = page.locator(".hoverlayer .hovertext")
    _until(lambda: text.count() == 1 and (text.text_content() or "").startswith(label))
    return text.text_content() or ""


def test_keys_little_motion_and_downloads(open_report: Callable[..., Visit], folder: Path) -> None:
    page = open_report(reduced_motion="reduce").page
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "To the summary"
    assert link.evaluate("(link) => getComputedStyle(link).outlineStyle") == "solid"
    box = link.bounding_box()
    assert box is not None and box["x"] >= 0
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.locator("#summary .scroll").focus()
    assert page.locator(":focus").get_attribute("aria-label") == "Summary, table"
    with page.expect_download() as download:
        page.locator("a.own").first.click()
    assert download.value.suggested_filename == "learning_curves.png"
    original = folder / "figures" / "learning_curves.png"
    assert Path(download.value.path()).read_bytes() == original.read_bytes()
