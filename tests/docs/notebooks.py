"""The tutorials as notebooks: made from their pages, with the outputs of their last execution.

A page's prose becomes cells of text, and its blocks become cells of code by the conventions of the
pages: a command of the shell is run at the repository's root, a block of Python is run, and one
that begins with `# NAME.py`, or a sweep that has a name, is written to its file. `shrinking` says
which commands are smaller in a notebook, and which are shown and not run; the cells say so too.

`python -m tests.docs.notebooks [NAME ...]` executes the notebooks anew, in temporary folders.
"""

import base64
import io
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, arguments, blocks, link_repository
from tests.docs.shrinking import NOT_IN_NOTEBOOKS, notebook_options

FOLDER = ROOT / "docs" / "notebooks"
PAGES = {
    FOLDER / f"{name}.ipynb": ROOT / "docs" / "tutorials" / f"{name}.md"
    for name in ("reproduce", "compare_my_strategy", "figures_for_my_paper")
}
SMALLER = "# Smaller than on the page: the options of the last line."
NOTE = """\
*This notebook is made from [the page]({page}) of the same name. It needs the repository and
`pip install -c constraints.txt -e '.[notebooks]'`. The first cell makes the repository's root the
working directory. Commands that are smaller here than on the page have a comment that says so; what
the text says of numbers and minutes is of the page's commands.*"""
SETUP = """\
import os
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents]
os.chdir(next(folder for folder in folders if (folder / "run_benchmark.py").exists()))
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.pop("FORCE_COLOR", None)  # no control characters in what commands print
os.environ["COLUMNS"] = "150\""""
_LINK = re.compile(r"\]\((?!https?://|\.\./)([^)]*)\)")
_COLOURS = 64  # of a picture: an eighth of the bytes of all colours, and looks the same
Notebook = dict[str, Any]


def contents() -> dict[Path, str]:
    """Every notebook as its file has to be: outputs stay where no code has changed."""
    texts = {}
    for path, page in PAGES.items():
        notebook = make_notebook(page)
        if path.exists():
            before = json.loads(path.read_text())
            if sources(before) == sources(notebook):
                _copy_outputs(code_cells(before), notebook)
        texts[path] = to_text(notebook)
    return texts


def to_text(notebook: Notebook) -> str:
    """Returns the text of a notebook's file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    """Returns the cells that are executed."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def sources(notebook: Notebook) -> list[str]:
    """Returns the text of each cell that is executed."""
    return ["".join(cell["source"]) for cell in code_cells(notebook)]


def _copy_outputs(executed: Sequence[Mapping[str, Any]], notebook: Notebook) -> None:
    for cell, other in zip(code_cells(notebook), executed, strict=True):
        cell |= {name: other[name] for name in ("execution_count", "outputs")}


def make_notebook(page: Path) -> Notebook:
    """Returns the notebook of a page, not executed."""
    cells = [
        {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": _lines(text)}
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for number, (kind, text) in enumerate(_cells(page))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _cells(page: Path) -> Iterator[tuple[str, str]]:
    """Yields the kind and the text of each cell."""
    lines, start = page.read_text().splitlines(), 1
    there = os.path.relpath(page, FOLDER)
    yield "markdown", f"{lines[0]}\n\n{NOTE.format(page=there)}"
    yield "code", SETUP
    for block in blocks(page):
        yield from _prose(lines[start : block.line - 2], page)
        yield from _block_cells(block)
        start = block.line + block.text.count("\n")
    yield from _prose(lines[start:], page)


def _prose(lines: Sequence[str], page: Path) -> Iterator[tuple[str, str]]:
    """Yields a cell of text whose links lead from the notebooks' folder, if there is any text."""

    def moved(link: re.Match[str]) -> str:
        target = page.name + link[1] if link[1].startswith("#") else link[1]
        return f"]({os.path.relpath(page.parent, FOLDER)}/{target})"

    to_itself = f"{FOLDER.name}/{page.stem}.ipynb"
    paragraphs = "\n".join(lines).strip().split("\n\n")
    kept = [paragraph for paragraph in paragraphs if paragraph and to_itself not in paragraph]
    if kept:
        yield "markdown", _LINK.sub(moved, "\n\n".join(kept))


def _block_cells(block: Block) -> Iterator[tuple[str, str]]:
    """Yields the cells of a block: those of a shell are one a command, so that each may fail."""
    text, file = block.text.rstrip("\n"), block.file_name
    if block.language == "sh":
        for command in re.split(r"(?<!\\)\n", text):
            yield _command_cell(command)
    elif file is not None:
        yield "code", "\n".join([f"%%writefile {file}", *map(_file_line, text.splitlines())])
    elif block.language == "python":
        yield "code", text
    else:
        yield "markdown", f"```{block.language}\n{text}\n```"


def _file_line(line: str) -> str:
    reason = NOT_IN_NOTEBOOKS.get(line)
    return f"# Left out here, since {reason}: {line.strip()}" if reason else line


def _command_cell(command: str) -> tuple[str, str]:
    if command.startswith("#"):
        return "markdown", command.lstrip("# ")
    if command in NOT_IN_NOTEBOOKS:
        return (
            "markdown",
            f"Not run here, since {NOT_IN_NOTEBOOKS[command]}:\n\n```sh\n{command}\n```",
        )
    options = notebook_options(arguments(command)[0])
    if not options:
        return "code", f"%%sh\n{command}"
    return "code", f"%%sh\n{SMALLER}\n{command} \\\n  {shlex.join(options)}"


def execute(notebook: Notebook, folder: Path) -> Notebook:
    """Returns the notebook with the outputs of its cells, run in a folder that is like the root.

    Raises:
      nbclient.exceptions.CellExecutionError: A cell raised, or its command failed.
    """
    import nbclient
    import nbformat

    link_repository(folder)
    here = folder / FOLDER.relative_to(ROOT)
    here.mkdir(parents=True)
    document = nbformat.reads(to_text(notebook), as_version=4)
    nbclient.NotebookClient(
        document,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(here)}},
    ).execute(env=os.environ | {"IPYTHONDIR": str(folder / ".ipython")})
    executed = json.loads(nbformat.writes(document))
    for cell in code_cells(executed):
        cell["outputs"] = [_small_output(output, folder) for output in cell["outputs"]]
    result = json.loads(to_text(notebook))
    _copy_outputs(code_cells(executed), result)
    return result


def _small_output(output: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Returns an output without HTML and the names of temporary folders, and with few colours."""
    if "data" not in output:
        text = "".join(output["text"]).replace(f"{folder}/", "")
        return output | {"text": _lines(text)}
    data = {kind: value for kind, value in output["data"].items() if kind != "text/html"}
    if "image/png" in data:
        data["image/png"] = _reduce_colours("".join(data["image/png"]))
    return output | {"data": data}


def _reduce_colours(picture: str) -> str:
    """Returns a PNG in base64 with few colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(_COLOURS).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main(names: Sequence[str]) -> None:
    """Executes the notebooks of these names, or all, and writes them with their outputs."""
    for path, page in PAGES.items():
        if names and path.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(make_notebook(page), Path(folder).resolve())
        path.parent.mkdir(exist_ok=True)
        path.write_text(to_text(notebook))


if __name__ == "__main__":
    main(sys.argv[1:])
