"""Which versions and revisions of code made results, and one line on it where several did.

Equal numbers are promised for equal versions: what is told here is a reason to look twice, never an
error. A package that one of them had and another had not is no difference: it is an extra.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

REVISION = "revision"


def of_texts(texts: Iterable[Any]) -> dict[str, set[str]]:
    """Distinct versions by package, of texts as the runs table has them; what is no text is none.

    Args:
      texts: JSON, each a mapping of packages to versions.
    """
    found: dict[str, set[str]] = {}
    for text in {text for text in texts if isinstance(text, str)}:
        for package, version in json.loads(text).items():
            found.setdefault(package, set()).add(str(version))
    return found


def mixed(texts: Iterable[Any], revisions: Iterable[Any]) -> str:
    """One line on the versions that differ between runs; nothing where none does.

    Args:
      texts: of each run, the versions as `of_texts` takes them.
      revisions: of each run, the git revision; None where it is not known.
    """
    found = of_texts(texts) | {REVISION: {str(one) for one in revisions if isinstance(one, str)}}
    told = [f"{name} {' and '.join(sorted(of))}" for name, of in found.items() if len(of) > 1]
    return f"Runs of different versions: {', '.join(sorted(told))}" if told else ""


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """One line on what is not as it was at an earlier start; nothing where all is.

    Args:
      before: of that start, `versions` by package and `git_revision`, as a manifest has them; each
        may be missing, or None.
      now: the same of this start.
    """
    both = [
        {**(one.get("versions") or {}), REVISION: one.get("git_revision")} for one in (before, now)
    ]
    told = [
        f"{name} {was} then, {both[1][name]} now"
        for name, was in sorted(both[0].items())
        if was and both[1].get(name) and both[1][name] != was
    ]
    if not told:
        return ""
    return f"versions differ from those of the last start here: {', '.join(told)}"
