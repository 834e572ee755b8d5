"""What in `docs/` is made from code and pages; `python -m tests.docs.generated` makes it anew."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- what follows is made by `make reference` -->", "<!-- end of what is made -->"


def contents() -> dict[Path, str]:
    """Every file that is made, or has a part that is, as it has to be."""
    from rl_es.tools import catalogue
    from tests.docs import notebooks

    return {
        **notebooks.contents(),
        DOCS / "sweep.schema.json": json.dumps(
            catalogue.sweep_schema(), indent=1, ensure_ascii=False
        )
        + "\n",
        **_with_part(DOCS / "sweeps.md", catalogue.reference_markdown()),
        **_with_part(DOCS / "agents.md", catalogue.agents_markdown()),
    }


def _with_part(page: Path, text: str) -> dict[Path, str]:
    """Returns a page whose part between the marks is this text."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {page: f"{before}{BEGIN}\n\n{text}\n{END}{after}"}


if __name__ == "__main__":
    for path, text in contents().items():
        path.write_text(text)
