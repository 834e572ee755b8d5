"""The page in a browser without a network: its films play together, by mouse and by keyboard."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rl_es.replay import command


def until(page: Any, condition: str) -> None:
    """Waits for it. The browser driver's own way evaluates text, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


@pytest.fixture
def page(folder: Path, browser: Any) -> Iterator[Any]:
    """A page of three films, opened at 1280 x 800 without a network."""
    path = command.run_replay(folder, env="a/pendulum", format="html", size="96x80")
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    page = context.new_page()
    page.messages = []
    page.on("console", lambda message: page.messages.append(message.text))
    page.on("pageerror", lambda error: page.messages.append(str(error)))
    page.goto(path.resolve().as_uri())
    until(page, "films.every(film => film.readyState >= 2)")
    yield page
    context.close()


def films(page: Any, what: str) -> list[Any]:
    return page.evaluate(f"films.map(film => film.{what})")


def test_films_play_together(page: Any) -> None:
    assert films(page, "duration") == pytest.approx([1.55] * 3, abs=0.02)
    assert films(page, "paused") == [True] * 3
    page.keyboard.press("Space")
    until(page, "films.every(film => film.currentTime > 0.1)")
    assert page.inner_text("#play") == "Pause"
    page.click("#play")
    times = films(page, "currentTime")
    assert films(page, "paused") == [True] * 3 and page.inner_text("#play") == "Play"
    assert max(times) - min(times) < 0.3
    page.keyboard.press("End")
    until(page, "films.every(film => film.currentTime == film.duration)")
    assert page.input_value("#time") == "1000"
    page.keyboard.press("Space")  # from the beginning, to the end
    until(page, "!playing && films.every(film => film.ended)")
    page.keyboard.press("Home")
    until(page, "films.every(film => film.currentTime == 0)")
    page.fill("#time", "500")
    until(page, "films.every(film => Math.abs(film.currentTime - 0.775) < 0.02)")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.messages == []
