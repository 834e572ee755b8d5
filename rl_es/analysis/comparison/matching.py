"""Which runs of one folder are compared with which of another: same environment, same label."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_es.analysis import results
from rl_es.analysis.drawing.palette import natural
from rl_es.analysis.results import Results
from rl_es.errors import UserError, did_you_mean
from rl_es.files.naming import apart, folder_of_results


@dataclass(frozen=True)
class Folder:
    """A results folder.

    Attributes:
      name: short, and unique among the folders compared.
      path: where it lies.
      results: what it holds.
    """

    name: str
    path: Path
    results: Results

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Its (environment, label) pairs, in the order of the legend."""
        runs, order = self.results.runs, list(self.results.shown)
        found = set(zip(runs["env"], runs["label"], strict=True))
        return sorted(found, key=lambda pair: (natural(pair[0]), order.index(pair[1])))


@dataclass(frozen=True)
class Match:
    """An (environment, label) pair of the base, and what it is compared with.

    Attributes:
      other: the folder.
      env: of both.
      base: the label in the base.
      label: the label in the other folder.
    """

    other: Folder
    env: str
    base: str
    label: str

    @property
    def shown(self) -> str:
        """For people: the label, or both."""
        return both(self.base, self.label)


def both(base: str, label: str) -> str:
    """A label of the base and the one that it is compared with: one name if they are equal."""
    return base if base == label else f"{base} → {label}"


def load(paths: Sequence[Path]) -> list[Folder]:
    """The folders, each named by as much of its path as makes it unique.

    Raises:
      UserError: there are fewer than two, or one of them holds no results.
    """
    if len(paths) < 2:
        raise UserError("compare: needs two results folders or more, the base first")
    for path in paths:
        folder_of_results(path)
    return [Folder(*both, results.load(both[1])) for both in zip(apart(paths), paths, strict=True)]


def renamings(texts: Sequence[str], folders: Sequence[Folder]) -> dict[str, list[str]]:
    """By label of the base, the labels of other folders that texts like `OLD=NEW` match with it.

    Labels may contain `=` themselves, so the text is cut at each of them in turn.

    Raises:
      UserError: there are no such labels.
    """
    old, new = _labels(folders[:1]), _labels(folders[1:])
    found: dict[str, list[str]] = {}
    for text in texts:
        parts = text.split("=")
        cuts = [("=".join(parts[:k]), "=".join(parts[k:])) for k in range(1, len(parts))]
        fitting = [cut for cut in cuts if cut[0] in old and cut[1] in new]
        if not fitting:
            raise UserError(f"--map: {_wrong(text, cuts, old, new)}")
        found.setdefault(fitting[0][0], []).append(fitting[0][1])
    return found


def _wrong(text: str, cuts: Sequence[tuple[str, str]], old: set[str], new: set[str]) -> str:
    if not cuts:
        return f"'{text}' is not OLD=NEW"
    left = [cut for cut in cuts if cut[0] in old]
    if not left:
        return f"the base has no label '{cuts[0][0]}'{did_you_mean(cuts[0][0], old)}"
    return f"no other folder has a label '{left[0][1]}'{did_you_mean(left[0][1], new)}"


def matches(
    folders: Sequence[Folder],
    renamed: Mapping[str, Sequence[str]],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> list[Match]:
    """What is compared with the base, folder by folder.

    Args:
      folders: the base first.
      renamed: the labels that a label of the base is compared with, if not its own name.
      environments: those that are wanted; empty for all.
      labels: of the base, likewise.

    Raises:
      UserError: an environment or a label is unknown, or nothing is left.
    """
    base, *others = folders
    known = set(base.results.runs["env"])
    _check("--env", environments, known)
    _check("--label", labels, _labels(folders[:1]))
    found = list(_matches(base, others, renamed, environments, labels))
    if not found:
        raise UserError(
            f"{base.name} and {', '.join(o.name for o in others)}: no environment has the same "
            "label in both; name labels that belong together with --map OLD=NEW"
        )
    return found


def _matches(
    base: Folder,
    others: Sequence[Folder],
    renamed: Mapping[str, Sequence[str]],
    environments: Collection[str],
    labels: Collection[str],
) -> Iterator[Match]:
    for other in others:
        there = set(other.pairs)
        for env, label in base.pairs:
            if (environments and env not in environments) or (labels and label not in labels):
                continue
            for target in renamed.get(label, [label]):
                if (env, target) in there:
                    yield Match(other, env, label, target)


def unmatched(
    folders: Sequence[Folder],
    found: Sequence[Match],
    environments: Collection[str] = (),
    labels: Collection[str] = (),
) -> dict[str, list[tuple[str, str]]]:
    """By folder, the wanted (environment, label) pairs that were not compared with anything."""
    base = folders[0]
    used: dict[str, set[tuple[str, str]]] = {folder.name: set() for folder in folders}
    for match in found:
        used[base.name].add((match.env, match.base))
        used[match.other.name].add((match.env, match.label))
    left = {
        folder.name: [
            pair
            for pair in folder.pairs
            if pair not in used[folder.name]
            and (not environments or pair[0] in environments)
            and (not labels or pair[1] in labels)
        ]
        for folder in folders
    }
    return {name: pairs for name, pairs in left.items() if pairs}


def _labels(folders: Sequence[Folder]) -> set[str]:
    return {str(label) for folder in folders for label in folder.results.runs["label"]}


def _check(option: str, wanted: Collection[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UserError(f"{option}: the base has no '{name}'{did_you_mean(name, known)}")
