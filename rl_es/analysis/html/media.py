"""Pictures and films in the page itself, as `data:` addresses, as far as there is room."""

import base64
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

_TYPES = {".png": "image/png", ".mp4": "video/mp4"}


def fitting(paths: Iterable[Path], room: int) -> frozenset[Path]:
    """The files that fit into so many characters of the page, the smallest first."""
    chosen: set[Path] = set()
    for path in sorted(set(paths), key=lambda path: (path.stat().st_size, path.name)):
        room -= characters(path)
        if room < 0:
            break
        chosen.add(path)
    return frozenset(chosen)


def characters(path: Path) -> int:
    """How many characters a file takes in the page."""
    return 4 * -(-path.stat().st_size // 3)


def address(path: Path, held: Iterable[Path]) -> str:
    """A `data:` address with a file that is in `held`, else where it lies beside the page."""
    if path not in held:
        return f"{quote(path.parent.name)}/{quote(path.name)}"
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
