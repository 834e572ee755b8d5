"""Every kind of figure: the same bytes twice, with its caption inside, on any sheet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from rl_es.analysis.drawing import SHEETS, Caption, FigureOptions, captions, layout
from rl_es.analysis.figures.catalogue import KINDS as OF_RESULTS
from rl_es.errors import UserError
from tests.analysis.samples import KINDS, LONG, source
from tests.looks import misplaced

FEW = FigureOptions(replicates=20)
MANY = tuple(f"suite/an-environment-{number}" for number in range(12))


def drawn(name: str, sheet: str = "auto", **changes: Any) -> list[tuple[Figure, Caption]]:
    """All figures of a kind, of a source with such changes."""
    kind = KINDS[name]
    found = kind.figures(source(kind, **changes), replace(FEW, sheet=SHEETS[sheet]))
    return [(one.figure, one.caption) for one in found]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_bytes_twice_and_the_caption_inside(name: str, tmp_path: Path) -> None:
    (first, caption), (second, again) = (drawn(name)[0] for _ in range(2))
    assert caption == again and caption.figure == name and len(caption.input) == 64
    assert caption.n.startswith("n = ") and caption.version
    assert (caption.replicates == 20) == ("bootstrap" in caption.interval)
    encoded = {form: layout.encode_figure(first, form, caption) for form in ("png", "svg", "pdf")}
    for form in reversed(encoded):  # whatever came before it
        assert layout.encode_figure(second, form, again) == encoded[form]
        assert caption.input.encode() in encoded[form]
        assert b"dc:date" not in encoded[form] and b"CreationDate" not in encoded[form]
    (tmp_path / "a.png").write_bytes(encoded["png"])
    assert captions.read_caption(tmp_path / "a.png") == caption


@pytest.mark.parametrize("name", OF_RESULTS)
def test_what_failed_altogether_can_be_drawn(name: str) -> None:
    drawn(name, envs=("e", "f"), seeds=1, status="failed")


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_misplaced_in_a_column(name: str) -> None:
    found = drawn(name, "column", envs=MANY[:3], more=LONG, seeds=1, status="mixed")
    assert found
    for figure, _ in found:
        assert figure.get_size_inches()[0] == SHEETS["column"].width
        assert not misplaced(figure)


@pytest.mark.slow
@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_misplaced_among_many(name: str, sheet: str) -> None:
    for figure, _ in drawn(name, sheet, envs=MANY, more=LONG, seeds=2, status="mixed"):
        assert not misplaced(figure)


def test_a_picture_of_another_origin_has_no_caption(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(layout.encode_figure(drawn("learning_curves")[0][0], "png"))
    (tmp_path / "b.png").write_bytes(b"no picture")
    for name in ("a.png", "b.png", "gone.png"):
        with pytest.raises(UserError, match=f"{name}: not a figure of this suite"):
            captions.read_caption(tmp_path / name)
