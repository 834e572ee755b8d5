"""How figures are adapted: which labels, under which names, at which size, with which words.

One set of settings has three sources, from the weakest to the strongest: the block `figures` of the
sweep file, which `manifest.json` keeps; the options of the verb `figures`; the keywords of
`rl_es.plot`. `rl_es.analysis.adaptation` applies them.

```yaml
figures:
  further: [best_so_far]
  labels: [open_es, eggroll r1]
  rename: {open_es: OpenAI-ES, CartPole-v1: CartPole}
  colours: {open_es: "#0072B2"}
  titles: {learning_curves: Returns during training}
  width: 3.25
```
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator

from rl_es.config import Config, static
from rl_es.errors import ConfigError, ConfigPath, brief, did_you_mean

# The figures that a report draws only on request.
OptionalFigure = Literal[
    "scores", "generations", "episodes", "best_so_far", "frontier", "time_ratio",
    "time_to_threshold",
]  # fmt: skip
FigureName = Literal[
    "learning_curves", "final_returns", "aggregate_curves", "aggregates", "normalised", "scores",
    "profiles", "improvement", "wall_clock", "generations", "episodes", "frontier", "time_ratio",
    "success", "time_to_threshold", "ablation", "sensitivity", "parameters", "surface",
    "best_so_far", "variance", "rank_bias", "share_of_inference", "parts", "cost_against_width",
]  # fmt: skip
# Those whose x axis is what a run has spent.
CurveName = Literal["learning_curves", "wall_clock", "generations", "episodes", "best_so_far"]
SizeName = Literal["auto", "column", "page"]
LegendPlace = Literal["figure", "file", "none"]
MIN_INCHES, MAX_INCHES = 1.0, 100.0


def check_distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuses a list that holds a value twice."""
    spellings = set()
    for value in values:
        if (spelling := repr(value)) in spellings:
            raise ValueError(f"lists {brief(value)} twice")
        spellings.add(spelling)
    return values


def _check_rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise ValueError(f"must be [low, high] with low < high, is {brief(list(limits))}")
    return limits


NonEmptyText = Annotated[str, Field(min_length=1, max_length=200)]
Names = Annotated[tuple[NonEmptyText, ...], AfterValidator(check_distinct)]
Inches = Annotated[float, Field(ge=MIN_INCHES, le=MAX_INCHES)]
Limits = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_check_rising)]
Colour = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]


class FigureSettings(Config):
    """How the figures of a results folder are adapted."""

    further: Annotated[tuple[OptionalFigure, ...], AfterValidator(check_distinct)] = static(
        (), "further figures of the report", strict=False
    )
    labels: Names = static((), "labels to draw, in this order; all if absent", strict=False)
    environments: Names = static((), "environments to draw, in this order", strict=False)
    rename: dict[NonEmptyText, NonEmptyText] = Field(
        default_factory=dict, description="new names of labels and environments, by their names"
    )
    colours: dict[NonEmptyText, Colour] = Field(
        default_factory=dict, description="colours of labels, such as '#0072B2'"
    )
    titles: dict[FigureName, NonEmptyText] = Field(
        default_factory=dict, description="titles above figures, by the figure's kind"
    )
    x_limits: dict[FigureName, Limits] = Field(
        default_factory=dict, description="[low, high] of the x axes, by the figure's kind"
    )
    x_scales: dict[CurveName, Literal["linear", "log"]] = Field(
        default_factory=dict, description="linear or log x axes, by the kind of curves"
    )
    size: SizeName = static("auto", "paper size: column is 3.25 inches wide, page 6.75")
    width: Inches | None = static(None, "width in inches; instead of the size's")
    height: Inches | None = static(None, "height in inches, with the legend and the caption")
    caption: bool = static(True, "the caption is in the figure; else in files .txt and .tex beside")
    legend: LegendPlace = static(
        "figure", "figure: in each; file: one for all, in the file `legend`; none: nowhere"
    )
    style: NonEmptyText | None = static(None, "a matplotlib style file, above the suite's style")

    def override(self, other: "FigureSettings") -> "FigureSettings":
        """Returns these settings with those that are set in `other`; mappings are joined."""
        changes: dict[str, Any] = {}
        for name in other.model_fields_set:
            value = getattr(other, name)
            joins = isinstance(value, Mapping)
            changes[name] = {**getattr(self, name), **value} if joins else value
        return self.model_copy(update=changes)

    def check_names(
        self, labels: Iterable[str], environments: Iterable[str], agents: Iterable[str] = ()
    ) -> None:
        """Checks that the labels and environments exist, under their first or their new names.

        Args:
          labels: labels of the results.
          environments: labels of the environments.
          agents: names of agents, which some legends show and which may be renamed.

        Raises:
          ConfigError: the first name that does not exist.
        """
        label_names, env_names = {*labels}, {*environments}
        agent_names = label_names | {*agents}
        any_names = agent_names | env_names
        uses: list[tuple[ConfigPath, str, str, set[str]]] = [
            *((("labels", i), "label", name, label_names) for i, name in enumerate(self.labels)),
            *(
                (("environments", i), "environment", name, env_names)
                for i, name in enumerate(self.environments)
            ),
            *((("rename",), "label or environment", n, any_names) for n in self.rename),
            *((("colours",), "label", name, agent_names) for name in self.colours),
        ]
        for path, noun, name, names in uses:
            new_names = {self.rename.get(other, other) for other in names}
            valid = names if path == ("rename",) else names | new_names
            if name not in valid:
                near = did_you_mean(name, sorted(valid))
                raise ConfigError(path, f"no {noun} '{brief(name)}' here{near}")
        for names in (label_names, env_names):
            origins: dict[str, str] = {}
            for name in sorted(names):
                new_name = self.rename.get(name, name)
                if (first := origins.setdefault(new_name, name)) != name:
                    reason = f"'{brief(first)}' and '{brief(name)}' both become '{brief(new_name)}'"
                    raise ConfigError(("rename",), reason)


def _distinct_items(item: Any) -> Any:
    return Annotated[tuple[item, ...], AfterValidator(check_distinct)]


def list_or_settings(item: Any) -> WrapValidator:
    """Returns a validator of the key `figures`: a list of `item`, or a mapping.

    Errors have the path of the value itself, without the name of a form.
    """
    figure_list: TypeAdapter[Any] = TypeAdapter(_distinct_items(item))

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, dict | FigureSettings):
            return FigureSettings.model_validate(value)
        return figure_list.validate_python(value)

    return WrapValidator(validate)


def settings_of(figures: Any) -> FigureSettings:
    """Returns the settings of the key `figures` of a manifest; those of a list change no figure."""
    return FigureSettings.model_validate(figures) if isinstance(figures, Mapping) else _DEFAULT


def optional_figures(figures: Any) -> tuple[str, ...]:
    """Returns the optional figures that the key `figures` of a manifest requests."""
    return tuple(figures.get("further", ()) if isinstance(figures, Mapping) else figures)


_DEFAULT = FigureSettings()
