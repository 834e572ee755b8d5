"""The fenced blocks of the pages, the commands of those for a shell, and a folder to run them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FILE_NAMES = {"python": r"\A# (\w+)\.py\n", "yaml": r"(?m)^name: (\S+)"}
_SUFFIXES = {"python": "py", "yaml": "yaml"}
_SHARED = ("sweeps", "envs", "agents", "rl_es", "run_benchmark.py", "results/reference")
_FENCE = re.compile(r"^ {0,8}(`{3,}|~{3,})\s*([\w+-]*).*$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      page: relative to the repository.
      line: of its first line, from 1.
      language: as the fence says; `text` where it says nothing.
      text: without the fences, and without their indentation.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For people: the page and the line."""
        return f"{self.page}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The file that it shows: Python whose first line names it, YAML that has a name."""
        name = re.search(_FILE_NAMES.get(self.language, "(?!)"), self.text)
        return f"{name[1]}.{_SUFFIXES[self.language]}" if name else None


def blocks(path: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found, fence, start, kept, language = [], "", 0, [], ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        matched = _FENCE.match(line)
        if fence and line.strip() == fence:
            page = path.relative_to(ROOT).as_posix()
            indent = min((len(one) - len(one.lstrip()) for one in kept if one.strip()), default=0)
            text = "\n".join(one[indent:] for one in kept) + "\n"
            found.append(Block(page, start, language, text))
            fence = ""
        elif fence:
            kept.append(line)
        elif matched:
            fence, language = matched[1], matched[2] or "text"
            start, kept = number + 1, []
    assert not fence, f"{path}:{start}: the block does not end"
    return found


def commands(text: str) -> list[str]:
    """The commands of a shell block, a line each, without comments and prompts."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [shown for line in lines if (shown := _bare(line))]


def _bare(line: str) -> str:
    """A line without its comment: a # that starts a word outside of quotes."""
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#" and (place == 0 or line[place - 1].isspace()):
            line = line[:place]
            break
    return line.strip()


def arguments(command: str) -> tuple[list[str], str | None]:
    """What follows `python run_benchmark.py`, and the file that the output goes to."""
    words = shlex.split(command)[2:]
    if ">" in words:
        place = words.index(">")
        return words[:place], words[place + 1]
    return words, None


def link_repository(folder: Path) -> None:
    """Makes a folder what the repository's root is to a reader, without results of their own."""
    (folder / "results").mkdir()
    for shared in _SHARED:
        (folder / shared).symlink_to(ROOT / shared)


EVERY = [block for page in PAGES for block in blocks(page)]
