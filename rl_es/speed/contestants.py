"""The contestants of a workload, with complete settings.

An agent's settings, weakest first: its own defaults, the file's `agent`, its `with`, its `grid` and
`random`. Population and episodes are the workload's. A peer takes from `agent` the settings that it
has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rl_es import registry
from rl_es.config import Config
from rl_es.places import Place, Problem
from rl_es.speed import peers
from rl_es.speed.names import EVOSAX, FLOORS, PEERS
from rl_es.speed.schema import Benchmark, ContestantEntry, Horizon
from rl_es.sweep.resolving import Stated
from rl_es.sweep.variants import Variant, variants

MEMBERS_PER_KEY = 128  # those of a block of antithetic pairs, `rl_es.evolution.keys`
_BY_WORKLOAD = {"population": "populations", "episodes": "episodes"}


@dataclass(frozen=True)
class Contestant:
    """A floor, a peer or an agent that is timed.

    Attributes:
      label: unique in the file.
      name: `bare`, `inference`, `evosax` or the agent's name in the registry.
      config: its settings; None for a floor, which has none.
      up_to: the largest population that it is run with; None: any.
      numerics: the `NUMERICS` of the agent's file, raised by hand when the agent's numbers change.
      horizon: `full` or `natural`.
      devices: how many devices share its population.
      chunks: how many chunks each device evaluates its part in.
      lanes: how many runs share a call.
    """

    label: str
    name: str
    config: Config | None
    up_to: int | None
    numerics: int
    horizon: Horizon
    devices: int
    chunks: int
    lanes: int

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides what is timed, as JSON."""
        settings = {} if self.config is None else self.config.model_dump(mode="json")
        return {"label": self.label, "name": self.name, "settings": settings,
                "up_to": self.up_to, "numerics": self.numerics, "horizon": self.horizon,
                "devices": self.devices, "chunks": self.chunks, "lanes": self.lanes}  # fmt: skip

    @property
    def is_spread(self) -> bool:
        """Whether its generation is more than one run on one device, all at once."""
        return (self.devices, self.chunks, self.lanes) != (1, 1, 1)


def contestants(benchmark: Benchmark, i: int, j: int, horizon: Horizon) -> Iterator[Contestant]:
    """The contestants for the i-th population and j-th number of episodes, in the file's order.

    Raises:
      Problem: some settings do not fit.
    """
    for k, entry in enumerate(benchmark.contestants):
        for variant in variants(entry):
            config = None if entry.name in FLOORS else _settings(benchmark, i, j, k, variant)
            ours = entry.name not in FLOORS and entry.name not in PEERS
            numerics = registry.agents.load(entry.name).NUMERICS if ours else 1
            yield Contestant(
                variant.label,
                entry.name,
                config,
                entry.up_to,
                numerics,
                horizon=entry.horizon or horizon,
                devices=entry.devices,
                chunks=entry.chunks,
                lanes=entry.lanes,
            )


def check(benchmark: Benchmark) -> None:
    """Checks the contestants, as far as that needs no workload.

    Raises:
      Problem: the first thing that is wrong.
    """
    _no_sizes(benchmark.agent, ("agent",))
    labels: set[str] = set()
    for k, entry in enumerate(benchmark.contestants):
        place: Place = ("contestants", k)
        _no_settings_of_floors(entry, place)
        for below, settings in (("with", entry.fixed), ("grid", entry.grid)):
            _no_sizes(settings, (*place, below))
        if entry.random:
            _no_sizes(entry.random.settings, (*place, "random"))
        _no_spread_of_peers(entry, place)
        _whole_blocks(benchmark, entry, place)
        if entry.name == EVOSAX and benchmark.policy.normalise_observations:
            raise Problem(place, "runs without policy.normalise_observations; leave one out")
        for variant in variants(entry):
            if variant.label in labels:
                raise Problem(place, f"label '{variant.label}' is used twice; give another")
            labels.add(variant.label)


def _settings(benchmark: Benchmark, i: int, j: int, k: int, variant: Variant) -> Config:
    entry = benchmark.contestants[k]
    peer = entry.name in PEERS
    model = peers.Settings if peer else registry.agents.load(entry.name).Hyperparameters
    shared = {n: v for n, v in benchmark.agent.items() if not peer or n in model.model_fields}
    stated = Stated()
    stated.put(shared, ("agent",))
    stated.put(entry.fixed, ("contestants", k, "with"))
    stated.vary(variant, ("contestants", k))
    for name, position in (("population", i), ("episodes", j)):
        axis = _BY_WORKLOAD[name]
        if name in model.model_fields:
            value = getattr(benchmark.workloads, axis)[position]
            stated.add(name, value, ("workloads", axis, position))
    return stated.checked(model, entry.shown, ("contestants", k))


def _no_sizes(settings: Any, place: Place) -> None:
    for name, axis in _BY_WORKLOAD.items():
        if name in settings:
            raise Problem(
                (*place, name), f"every contestant has the workload's; see workloads.{axis}"
            )


def _no_spread_of_peers(entry: ContestantEntry, place: Place) -> None:
    for key in ("devices", "chunks", "lanes"):
        if entry.name in PEERS and getattr(entry, key) != 1:
            raise Problem((*place, key), f"{entry.name} runs alone, at once, on one device")


def _whole_blocks(benchmark: Benchmark, entry: ContestantEntry, place: Place) -> None:
    parts = entry.devices * entry.chunks
    for population in benchmark.workloads.populations:
        run = entry.up_to is None or population <= entry.up_to
        if run and parts > 1 and population % (parts * MEMBERS_PER_KEY):
            raise Problem(
                place,
                f"devices times chunks must divide each population into whole multiples of "
                f"{MEMBERS_PER_KEY} members; {population} / {parts} is none",
            )


def _no_settings_of_floors(entry: ContestantEntry, place: Place) -> None:
    if entry.name not in FLOORS:
        return
    for key, given in (("with", entry.fixed), ("grid", entry.grid), ("random", entry.random)):
        if given:
            raise Problem((*place, key), f"{entry.name} is no agent, it has no settings")
