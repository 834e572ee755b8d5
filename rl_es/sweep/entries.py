"""What files of several kinds name: agents with settings that vary, environments with wrappers."""

from typing import Any, ClassVar, Self

import pydantic
from pydantic import Field, field_validator, model_validator

from rl_es import registry
from rl_es.config import Config, static
from rl_es.errors import UserError, brief
from rl_es.plugins import short
from rl_es.rollout.config import WrapperConfig
from rl_es.sweep.fields import MAX_CELLS, MAX_SEED, AgentLabel, EnvironmentLabel, Values


def named(value: Any) -> Any:
    """An entry that is a plain name, as a mapping."""
    return {"name": value} if isinstance(value, str) else value


def labels_differ(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses two entries of one label."""
    seen: set[str] = set()
    for entry in entries:
        if entry.shown in seen:
            raise ValueError(f"two are labelled '{entry.shown}'; give one another label")
        seen.add(entry.shown)
    return entries


class Distribution(Config):
    """What a random setting is drawn from; exactly one."""

    uniform: tuple[float, float] | None = static(None, "between low and high", strict=False)
    log_uniform: tuple[float, float] | None = static(
        None, "between low and high, both above 0, on a logarithmic scale", strict=False
    )
    choice: Values | None = static(None, "one of these values")

    @model_validator(mode="after")
    def _one(self) -> Self:
        kinds = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(kinds) != 1:
            given = " and ".join(kinds) or "none"
            raise ValueError(f"needs exactly one of uniform, log_uniform and choice, has {given}")
        low, high = self.uniform or self.log_uniform or (1.0, 2.0)
        if not low < high or (self.log_uniform and low <= 0):
            positive = "0 < " if self.log_uniform else ""
            raise ValueError(f"{kinds[0]}: must be [low, high] with {positive}low < high")
        return self


class RandomSearch(Config):
    """Random settings: `samples` and `seed`, and a distribution for each setting drawn."""

    model_config: ClassVar[pydantic.ConfigDict] = pydantic.ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Distribution] = Field(init=False)  # pyright: ignore

    samples: int = static(help="settings that are drawn", ge=1, le=MAX_CELLS)
    seed: int = static(0, "of the draws", ge=0, le=MAX_SEED)

    @property
    def settings(self) -> dict[str, Distribution]:
        """Distributions by setting."""
        return self.__pydantic_extra__ or {}

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.settings:
            raise ValueError("draws nothing; add a line such as lr: {log_uniform: [1e-3, 1e-1]}")
        return self


class Variation(Config):
    """Something by name: fixed settings, and settings that vary."""

    name: str = static(help="as `list` shows it")
    label: AgentLabel | None = static(None, "unique in the file; the name if absent")
    fixed: dict[str, Any] = Field(default_factory=dict, alias="with", description="fixed settings")
    grid: dict[str, Values] = Field(
        default_factory=dict, description="values by setting: every combination of them"
    )
    random: RandomSearch | None = static(None, "settings drawn at random, beside the grid")

    @property
    def shown(self) -> str:
        """The label: unless one is given the name, or the class that a reference names."""
        return self.label or short(self.name)

    @property
    def varied(self) -> set[str]:
        """Settings that grid or random gives."""
        return {*self.grid, *(self.random.settings if self.random else ())}

    @model_validator(mode="after")
    def _varied_once(self) -> Self:
        if both := sorted(self.varied & {*self.fixed}):
            raise ValueError(
                f"'{brief(both[0])}' is fixed by `with` and varied by grid or random; keep one"
            )
        for name in self.random.settings if self.random else ():
            if name in self.grid:
                raise ValueError(f"'{brief(name)}' is varied by grid and by random; keep one")
        return self


class World(WrapperConfig):
    """An environment by name: its suite's options and its wrappers."""

    name: str = static(help="as `list` shows it")
    label: EnvironmentLabel | None = static(None, "unique in the file; the name if absent")
    options: dict[str, Any] = Field(default_factory=dict, description="of the suite")

    @property
    def shown(self) -> str:
        """The label: unless one is given the name, or the class that a reference names."""
        return self.label or short(self.name)

    @property
    def wrappers(self) -> WrapperConfig:
        """The wrappers' settings alone."""
        return WrapperConfig(**{name: getattr(self, name) for name in WrapperConfig.model_fields})

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            registry.environment_suite(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name
