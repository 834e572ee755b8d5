"""What holds for one cell: the settings, options and policies of a sweep, the strongest winning.

Every function raises `Problem`, with the place in the sweep file, for values that do not fit.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, TypeVar

import pydantic

from rl_es import registry
from rl_es.config import Config
from rl_es.errors import UserError, brief, did_you_mean
from rl_es.explaining import explain
from rl_es.places import Place, Problem
from rl_es.sweep.entries import World
from rl_es.sweep.schema import AgentEntry, EnvironmentEntry, Sweep
from rl_es.sweep.variants import Variant

AnyConfig = TypeVar("AnyConfig", bound=Config)


class Stated:
    """Settings of one variant, and where in the file each of them stands."""

    def __init__(self) -> None:
        """Starts with none: the agent's own defaults hold."""
        self._values: dict[str, Any] = {}
        self._places: dict[str, Place] = {}

    def put(self, settings: Mapping[str, Any], where: Place) -> None:
        """Adds the settings of the mapping at `where`; they win over earlier ones."""
        for name, value in settings.items():
            self.add(name, value, (*where, name))

    def add(self, name: str, value: Any, place: Place) -> None:
        """Adds one setting."""
        self._values[name] = value
        self._places[name] = place

    def vary(self, variant: Variant, where: Place) -> None:
        """Adds the varied settings of the entry at `where`."""
        for name, value in variant.settings.items():
            self.add(name, value, (*where, *variant.places[name]))

    def checked(self, model: type[AnyConfig], shown: str, where: Place) -> AnyConfig:
        """The complete settings, by their class; `shown` and `where` name the entry."""
        try:
            return model.model_validate(self._values)
        except pydantic.ValidationError as error:
            problem = explain(error, model)
            if not problem.place:
                raise Problem(where, f"{shown}: {problem.reason}") from None
            name = problem.place[0]
            place = self._places.get(str(name), (*where, "with", name))
            reason = problem.reason
            if place[:2] == ("defaults", "agent") and name not in model.model_fields:
                reason += f" ({shown} has none; what only some agents have goes under their `with`)"
            raise Problem((*place, *problem.place[1:]), reason) from None


def settings(sweep: Sweep, i: int, j: int, variant: Variant) -> Config:
    """The complete settings of a variant in an environment, by the agent's own class."""
    agent, overrides = sweep.agents[j], sweep.environments[i].agents
    stated = Stated()
    stated.put(sweep.defaults.agent, ("defaults", "agent"))
    stated.put(agent.fixed, ("agents", j, "with"))
    stated.vary(variant, ("agents", j))
    for key in dict.fromkeys((agent.name, agent.shown)):
        if agent in meant_by(sweep, key):
            stated.put(overrides.get(key, {}), ("environments", i, "agents", key))
    module = registry.agents.load(agent.name)
    if hasattr(module, "check"):
        _checked_by(module.check, ("agents", j))
    return stated.checked(module.Hyperparameters, agent.shown, ("agents", j))


def meant_by(sweep: Sweep, key: str) -> list[AgentEntry]:
    """The entries that an environment's `agents` key means: one label's, else all of one name."""
    labelled = [agent for agent in sweep.agents if agent.shown == key]
    return labelled or [agent for agent in sweep.agents if agent.name == key]


def check_overrides(sweep: Sweep, environment: EnvironmentEntry, place: Place) -> None:
    """Refuses overrides of an agent that is not there, or of a setting that varies."""
    for key, settings in environment.agents.items():
        meant = meant_by(sweep, key)
        if not meant:
            near = did_you_mean(brief(key), {a.shown for a in sweep.agents})
            raise Problem((*place, key), f"no agent of this sweep has this label{near}")
        for name in settings:
            if any(name in agent.varied for agent in meant):
                raise Problem(
                    (*place, key, name), "the agent varies it by grid or random; keep one"
                )


def options(suite: ModuleType, environment: World, place: Place) -> dict[str, Any]:
    """The complete options of an environment, by the suite's own class."""
    try:
        options = suite.Options.model_validate(environment.options)
    except pydantic.ValidationError as error:
        problem = explain(error, suite.Options)
        raise Problem((*place, *problem.place), problem.reason) from None
    if hasattr(suite, "check"):
        _checked_by(lambda: suite.check(environment.name, options), place)
    return options.model_dump()


def _checked_by(check: Callable[[], None], place: Place) -> None:
    try:
        check()
    except UserError as error:
        raise Problem(place, str(error)) from None


def merged(place: Place, *layers: AnyConfig) -> AnyConfig:
    """One configuration from what each layer states, the last winning."""
    values = {name: getattr(layer, name) for layer in layers for name in layer.model_fields_set}
    model = type(layers[0])
    try:
        return model(**values)
    except pydantic.ValidationError as error:
        problem = explain(error, model)
        raise Problem((*place, *problem.place), problem.reason) from None
