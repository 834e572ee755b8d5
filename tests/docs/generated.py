"""What in `docs/` is made from the code; `python -m tests.docs.generated` makes it anew."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- what follows is made by `make reference` -->", "<!-- end of what is made -->"


def contents() -> dict[Path, str]:
    """Every file that is made, or has a part that is, as it has to be."""
    from rl_es.tools import catalogue

    page = DOCS / "sweeps.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        DOCS / "sweep.schema.json": json.dumps(
            catalogue.sweep_schema(), indent=1, ensure_ascii=False
        )
        + "\n",
        page: f"{before}{BEGIN}\n\n{catalogue.reference_markdown()}\n{END}{after}",
    }


if __name__ == "__main__":
    for path, text in contents().items():
        path.write_text(text)
