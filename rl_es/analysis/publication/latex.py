"""A table in LaTeX, with booktabs; an interval stands under its estimate, so that columns fit."""

from collections.abc import Sequence

from rl_es.analysis.digits import MINUS
from rl_es.analysis.publication.layout import Entry, Layout

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    MINUS: "$-$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "—": "---",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def escape(text: str) -> str:
    """Text as LaTeX prints it, on one line; minus signs in math mode."""
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(text.split()))


def write(layout: Layout, caption: str, footnote: str, name: str) -> str:
    r"""The table as a float; it needs `\usepackage{booktabs}`.

    Args:
      layout: its rows and columns.
      caption: plain text.
      footnote: likewise; empty for none.
      name: of the reference, as `tab:NAME`.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[t]",
        r"  \centering",
        rf"  \caption{{{escape(caption)}}}",
        rf"  \label{{tab:{name}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(layout.heads)}}}",
        r"    \toprule",
        _row([escape(layout.corner), *map(escape, layout.heads)]),
        r"    \midrule",
        *(line for row in layout.rows for line in _lines(*row)),
    ]
    if layout.last is not None:
        lines += [r"    \midrule", *_lines(*layout.last)]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if footnote:
        lines.append(rf"  \par\smallskip{{\footnotesize $^\dagger$\,{escape(footnote)}}}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _lines(name: str, entries: Sequence[Entry]) -> list[str]:
    """A row of estimates, and one of their intervals where there are any."""
    named = escape(name)
    # Without braces it would be read as an argument of the `\\` before it.
    named = f"{{{named}}}" if named.startswith(("[", "*")) else named
    lines = [_row([named, *map(_estimate, entries)])]
    if any(entry.bounds for entry in entries):
        lines.append(_row(["", *(_bounds(entry) for entry in entries)]))
    return lines


def _estimate(entry: Entry) -> str:
    written = escape(entry.estimate)
    bold = rf"\textbf{{{written}}}" if entry.bold else written
    return bold + (r"$^\dagger$" if entry.noted else "")


def _bounds(entry: Entry) -> str:
    return rf"{{\scriptsize {escape(entry.bounds)}}}" if entry.bounds else ""


def _row(cells: Sequence[str]) -> str:
    return f"    {' & '.join(cells)} \\\\"
