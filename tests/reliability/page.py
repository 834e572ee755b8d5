"""The page of the trials, `docs/reliability.md`."""

from typing import Any

HEAD = """# Nothing lost: what was tried

Each part is made again by `python -m tests.reliability PART`, which writes its lines here.

| part | tried | found | on | took |
|---|---|---|---|---:|
"""


def make_page(outcomes: dict[str, Any]) -> str:
    """Returns the page: a row per part, then the kills and the damage in detail."""
    rows = [f"| {name} | {ROWS[name](part)} | {_verdict(part)} | {part['on']} | {part['took']} s |"
            for name, part in outcomes.items()]  # fmt: skip
    details = [DETAILS[name](part) for name, part in outcomes.items() if name in DETAILS]
    return HEAD + "\n".join(rows) + "\n" + "".join(details)


def _verdict(part: dict[str, Any]) -> str:
    return "; ".join(part["wrong"]) or "as it is to be"


def _kills(part: dict[str, Any]) -> str:
    return (
        f"{sum(part['kills'].values())} times `kill -9` over {part['runs']} runs of a sweep of the "
        f"quickstart's shape ({part['seconds']} s when left alone), checkpoints every 2 s, then "
        "the same command: final tables equal bit for bit to those of the run that was left alone, "
        "timing columns aside"
    )


def _damage(part: dict[str, Any]) -> str:
    files, cuts, bytes_ = (sum(kind[i] for kind in part["files"].values()) for i in range(3))
    return (
        f"{files} files that a later step reads: {cuts} truncations, one at every 4 KiB, and "
        f"{bytes_} changed bytes, one in each: all noticed"
    )


def _cluster(part: dict[str, Any]) -> str:
    return (
        f"a Ray cluster of two nodes that loses {part['killed']} worker and {part['removed']} node "
        "while a sweep of six groups runs: every cell finishes, tables equal those of one process "
        "to rounding; two shards of it, merged, equal them bit for bit"
    )


def _inputs(part: dict[str, Any]) -> str:
    return (
        f"{sum(part['inputs'].values())} malformed inputs, and {part['properties']} properties of "
        "up to 100 random ones each: one line of error, no traceback, no file changed"
    )


def _memory(part: dict[str, Any]) -> str:
    after, most = part["after_20"] / 2**20, part["most"] / 2**20
    return (
        f"{part['cells']} cells with programs of their own in one process: resident memory "
        f"{after:,.0f} MiB after 20, at most {most:,.0f} MiB later; at most 10 % more is allowed"
    )


ROWS = {
    "kills": _kills,
    "damage": _damage,
    "cluster": _cluster,
    "inputs": _inputs,
    "memory": _memory,
}


def _moments(part: dict[str, Any]) -> str:
    rows = "\n".join(f"| {moment} | {count} |" for moment, count in part["kills"].items())
    return (
        "\n## Moments of the kills\n\nBefore or after a call of the function that does it, or at "
        f"any time.\n\n| moment | kills |\n|---|---:|\n{rows}\n"
    )


def _files(part: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| `{kind}` | {files} | {cuts} | {changed} |"
        for kind, (files, cuts, changed) in part["files"].items()
    )
    return (
        "\n## Files that were damaged\n\n| file | files | truncations | changed bytes |\n"
        f"|---|---:|---:|---:|\n{rows}\n"
    )


def _kinds(part: dict[str, Any]) -> str:
    rows = "\n".join(f"| {kind} | {count} |" for kind, count in part["inputs"].items())
    return f"\n## Malformed inputs\n\n| kind | inputs |\n|---|---:|\n{rows}\n"


DETAILS = {"kills": _moments, "damage": _files, "inputs": _kinds}
