"""The tests of malformed inputs: how many inputs there are, and which of them are not refused."""

import subprocess
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the cases of a file are. A case is one input, but for those of `PROPERTIES`.
KINDS = {
    "test_corpus": "written by hand: sweep files, folders, policies, tables, command lines",
    "test_command_lines": "made from the options of every command",
    "test_cells": "made from the columns of every table",
}
PROPERTIES = "test_fuzz"  # up to 100 random inputs each


def trial(folder: Path) -> tuple[dict[str, int], int, list[str]]:
    """Runs the tests of `tests/malformed`.

    Returns:
      The number of inputs of each kind; the number of properties of random ones; and the cases that
      failed.
    """
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "tests/malformed"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    counts: Counter[str] = Counter()
    properties, wrong = 0, []
    for case in xml.parse(report).iter("testcase"):
        file, name = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        if file == PROPERTIES:
            properties += 1
        elif "[" in name:  # others are about the cases
            counts[KINDS[file]] += 1
        if len(case.findall("failure") + case.findall("error") + case.findall("skipped")):
            wrong.append(name)
    return dict(counts), properties, wrong
