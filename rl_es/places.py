"""Where something stands in a file that holds mappings and lists, and what is wrong there."""

from rl_es.errors import UserError, brief

Place = tuple[str | int, ...]  # keys and list positions from the top of a document


class Problem(UserError):
    """Something wrong at a place; whoever knows the file adds its name, and the line."""

    def __init__(self, place: Place, reason: str):
        super().__init__(f"{spelled(place)}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


def spelled(place: Place) -> str:
    """A place as text: `agents[1].with.lr`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{brief(part)}"
    return text.removeprefix(".")
