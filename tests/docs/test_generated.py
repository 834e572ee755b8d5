"""What in `docs/` is made from code and pages is as these are now."""

import pytest

from tests.docs.generated import BEGIN, END, contents


@pytest.mark.parametrize(("path", "text"), contents().items(), ids=lambda value: str(value)[-20:])
def test_it_is_current(path, text):
    assert path.read_text() == text, "`make reference` makes it anew"


def test_the_marks_are_there():
    for path in contents():
        if path.suffix == ".md":
            page = path.read_text()
            assert page.count(BEGIN) == page.count(END) == 1
