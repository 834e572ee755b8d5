"""Installed packages, compared with what the suite's metadata asks for and with what was tried."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rl_es.findings import FAIL, OK, WARN, Fault, Finding

SUITE = "rl_es"
SHOWN = 5  # of the packages that differ from the tried ones
TRIED = Path(__file__).parents[2] / "constraints.txt"  # beside a checkout; not installed
GATHERED = ("all",)  # an extra made up of others
Installed = Callable[[str], str | None]


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def asked() -> list[Requirement]:
    """What the suite's metadata asks for, with its extras."""
    return [Requirement(text) for text in importlib.metadata.requires(SUITE) or ()]


def python(version: str = platform.python_version()) -> str:
    """The interpreter's version; the suite runs on it, or a `Fault` is raised."""
    needs = importlib.metadata.metadata(SUITE)["Requires-Python"] or ""
    if not SpecifierSet(needs).contains(version, prereleases=True):
        raise Fault(f"{version}, needs {needs}", f"use python {needs}")
    return version


def core(requirements: Iterable[Requirement], found: Installed = installed) -> Iterator[Finding]:
    """Whether the packages that everything needs are there, in versions that fit."""
    needed = [
        one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})
    ]
    wrong = [(one, found(one.name)) for one in needed if not _fits(one, found(one.name))]
    if not wrong:
        yield Finding("packages", OK, f"{SUITE} {found(SUITE)} and {len(needed)} that it needs")
    for one, version in wrong:
        detail = "is not installed" if version is None else f"{version}, needs {one.specifier}"
        yield Finding(one.name, FAIL, detail, f"pip install '{one.name}{one.specifier}'")


def tried(path: Path = TRIED, found: Installed = installed) -> Iterator[Finding]:
    """Which packages differ from those that were tried together; nothing without a list of them."""
    if not path.exists():
        return
    pins = dict(line.split("==") for line in path.read_text().splitlines() if "==" in line)
    there = {name: (found(name), pin) for name, pin in pins.items()}
    known = {name: both for name, both in there.items() if both[0] is not None}
    differing = {
        name: f"{name} {is_} (tried: {pin})" for name, (is_, pin) in known.items() if is_ != pin
    }
    if not differing:
        yield Finding("tried versions", OK, f"{len(known)} packages as in {path.name}")
        return
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    detail = f"{', '.join([*differing.values()][:SHOWN])}{more}"
    remedy = f"pip install --upgrade --constraint {path} {' '.join(differing)}"
    yield Finding("tried versions", WARN, detail, remedy)


def extras(requirements: Sequence[Requirement], found: Installed = installed) -> Iterator[Finding]:
    """Which extras are installed, and how to install the others."""
    for extra, needed in _by_extra(requirements).items():
        versions = {one.name: found(one.name) for one in needed}
        wrong = [one for one in needed if not _fits(one, versions[one.name])]
        remedy = f"pip install '{SUITE}[{extra}]'" if wrong else ""
        told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        unfit = [one for one in wrong if versions[one.name] is not None]
        if unfit:
            needs = ", ".join(f"{one.name}{one.specifier}" for one in unfit)
            yield Finding(f"extra {extra}", WARN, f"{told}; needs {needs}", remedy)
        elif wrong:
            names = ", ".join(one.name for one in wrong)
            yield Finding(f"extra {extra}", OK, f"not installed: {names}", remedy)
        else:
            yield Finding(f"extra {extra}", OK, told)


def _by_extra(requirements: Iterable[Requirement]) -> Mapping[str, list[Requirement]]:
    """The packages of each extra, without those that other extras name."""
    every = importlib.metadata.metadata(SUITE).get_all("Provides-Extra") or ()
    found: dict[str, list[Requirement]] = {name: [] for name in every if name not in GATHERED}
    for one in requirements:
        for extra, own in found.items():
            ours = canonicalize_name(one.name) == canonicalize_name(SUITE)
            if one.marker is not None and not ours and one.marker.evaluate({"extra": extra}):
                own.append(one)
    return found


def _fits(asked: Requirement, version: str | None) -> bool:
    return version is not None and asked.specifier.contains(version, prereleases=True)
