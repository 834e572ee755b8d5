"""`report.html`: one file that contains all that it needs and opens without a network.

The page is a header and sections; a section is data and the template that draws it. Text is escaped
by the templates, and once more by the script where plotly would read it as markup.
"""

from importlib.util import find_spec

NAME = "report.html"
NEEDS = ("jinja2", "plotly")


def missing_packages() -> list[str]:
    """Returns the libraries that the page needs and that are not installed."""
    return [name for name in NEEDS if find_spec(name) is None]
