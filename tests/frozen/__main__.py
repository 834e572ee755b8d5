"""Records, reads again, or compares; see the package's docstring."""

import argparse
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.frozen import comparison, jobs, rereading
from tests.frozen.recorder import Job, Recorder, check_imports, record

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Runs one of the three commands; returns 1 where two recordings differ."""
    arguments = _parser().parse_args()
    if arguments.verb == "compare":
        return _compare(arguments.first.resolve(), arguments.second.resolve(), arguments.show)
    rereads = arguments.verb == "reread"
    table = rereading.REREAD if rereads else jobs.RECORDED
    out = arguments.out.resolve()
    base = arguments.base.resolve() if rereads else out
    names = arguments.jobs or [*table]
    unknown = {*names} - {*table}
    if unknown:
        print(f"error: --jobs: no job {', '.join(sorted(unknown))}; there are {', '.join(table)}")
        return 2
    try:
        check_imports(arguments.checkout.resolve())
    except ValueError as error:
        print(f"error: --checkout: {error}")
        return 2
    recorders = [Recorder(arguments.checkout.resolve(), out, name, base) for name in names]
    _record(recorders, table, arguments.number)
    return 0


def _record(recorders: Iterable[Recorder], table: Mapping[str, Job], number: int) -> None:
    """Records jobs, `number` at a time, and prints a line as each ends."""
    with ThreadPoolExecutor(number) as pool:
        lines = pool.map(lambda recorder: record(recorder, table[recorder.job]), recorders)
        for line in lines:
            print(line, flush=True)


def _compare(first: Path, second: Path, show: int) -> int:
    """Prints each difference of two recordings on a line, and their number."""
    total = 0
    for line in comparison.differences(first, second):
        total += 1
        if total <= show:
            print(line[:300])
    if total > show:
        print(f"... and {total - show} more (--show)")
    compared = comparison.compared_jobs(first, second)
    print(f"{total} differences in {len(compared)} jobs: {', '.join(compared)}")
    return 1 if total or not compared else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.frozen", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record", help="record what a checkout does")
    recording.add_argument("out", type=Path, metavar="OUT")
    again = verbs.add_parser("reread", help="read and continue the results of a recording")
    again.add_argument("base", type=Path, metavar="BASE")
    again.add_argument("out", type=Path, metavar="OUT")
    for one in (recording, again):
        one.add_argument("--checkout", type=Path, default=ROOT, help="default: this one")
        one.add_argument("--jobs", nargs="+", metavar="NAME", help="default: all")
        one.add_argument("-j", dest="number", type=int, default=1, help="jobs at a time")
    comparing = verbs.add_parser("compare", help="compare two recordings; 1 where they differ")
    comparing.add_argument("first", type=Path, metavar="A")
    comparing.add_argument("second", type=Path, metavar="B")
    comparing.add_argument("--show", type=int, default=200, help="most lines that are printed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
