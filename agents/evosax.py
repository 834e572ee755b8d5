"""evosax 0.3.2: strategies of evolutionary computation, under the names `evosax/...`; an extra.

Lange, "evosax: JAX-based Evolution Strategies", 2022, https://arxiv.org/abs/2212.04180. An agent
is one strategy of evosax under the rollouts, budgets and evaluations of this suite. Its population
is written out, one full set of parameters a member. Members h and P / 2 + h share the random
numbers of their episodes; antithetic strategies have partners there. evosax minimises: it is told
minus the returns. A return that is not finite counts as the worst of its generation.

A strategy with a mean starts at the network's initial parameters, where every agent of the same
seed starts, and its mean is evaluated. One that has a population alone starts with these parameters
as its first member, and with normal noise of `init_std` around them as the others; generation 0
evaluates this population, and the best member of the latest population is evaluated.

Numbers of a strategy have evosax's names and defaults. Those whose default follows from the numbers
of members and parameters are settings as factors on it: `NAME_factor`. Constants that the theory
fixes by these numbers (recombination weights, their effective number, expected lengths) are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import pydantic
from pydantic import field_validator

from rl_es.config import Config, static, traced
from rl_es.evolution.config import OptimiserConfig, check_even
from rl_es.registry import require

if TYPE_CHECKING:
    from rl_es.interfaces import Environment, Learner, Policy

NUMERICS = 1

Fields = dict[str, tuple[Any, Any]]  # a setting's type and declaration, by name
Start = Literal["mean", "population", "means"]
MEAN, BEST = "the mean", "the best member of the latest population"
BEST_EVER = "the best member so far, which is the mean"


class EvosaxConfig(Config):
    """Settings of every strategy of evosax."""

    population: int = static(256, "members, written out one by one", ge=4)
    episodes: int = static(1, "episodes a member and generation; their mean is its return", ge=1)

    @field_validator("population")
    @classmethod
    def _check_even(cls, population: int) -> int:
        return check_even(population)


class EvosaxWindowConfig(Config):
    """Settings of the strategies of evosax that unroll windows."""

    population: int = static(256, "members, written out one by one", ge=4)
    window: int = static(50, "steps of a window (K), one per generation", ge=1)

    @field_validator("population")
    @classmethod
    def _check_even(cls, population: int) -> int:
        return check_even(population)


MEANINGS = {  # of evosax's numbers
    "alpha": "weight of the kernel's repulsion between means",
    "beta": "factor on the estimate",
    "boltzmann_constant": "factor on the temperature in the probability of a worse move",
    "c_d": "rate at which directions act on noise",
    "c_mult_init": "first factor on the anticipated shift",
    "c_mean": "learning rate of the mean",
    "c_std": "rate of the standard deviation, or of its evolution path",
    "crossover_rate": "probability that a parameter is that of the other parent",
    "d_std": "damping of the standard deviation",
    "delta_ams": "factor on the mean's shift in what is anticipated of it",
    "differential_weight": "factor on differences of members, unless min is below max",
    "differential_weight_max": "highest factor on differences of members",
    "differential_weight_min": "lowest factor on differences of members",
    "eta_avs_dec": "factor on c_mult without improvement",
    "eta_avs_inc": "factor on c_mult after a far improvement",
    "inertia_coeff": "share of the velocity that a generation keeps",
    "cognitive_coeff": "pull of a member's own best",
    "social_coeff": "pull of the best of all",
    "kernel_std": "width of the kernel between means",
    "lr_mean": "learning rate of the mean",
    "lr_move_std": "learning rate of the standard deviation while the mean moves",
    "lr_std": "learning rate of the standard deviation",
    "nis_max_gens": "generations without improvement after which c_mult falls below 1",
    "q_star": "rate of success at which the standard deviation stays",
    "radius_decay": "members over which the radius halves",
    "radius_max": "largest radius",
    "radius_min": "smallest radius",
    "scale_factor": "unit of the parameters",
    "std_init": "standard deviation at the start",
    "std_lr": "learning rate of the standard deviation",
    "std_m": "share of the schedule's noise that is added",
    "std_max": "highest standard deviation",
    "std_max_change": "most relative change of the standard deviation a generation",
    "std_meta": "factor by which mutation rates change at most",
    "std_min": "lowest standard deviation",
    "std_ratio": "share of better children above which the mutation rate doubles",
    "T": "least generations between two directions that are kept",
    "temperature_decay": "factor on the temperature a generation",
    "temperature_init": "temperature at the start",
    "temperature_limit": "lowest temperature",
    "theta_sdr": "distance of an improvement, in deviations, that counts as far",
}


def numbers(**defaults: float) -> Fields:
    """Returns settings that are numbers of evosax's parameters, under its names."""
    return {name: (float, traced(value, MEANINGS[name], ge=0)) for name, value in defaults.items()}


def factors(*names: str) -> Fields:
    """Returns settings that are factors on numbers whose defaults evosax computes."""
    text = "factor on evosax's {}, which follows from members and parameters"
    return {f"{name}_factor": (float, traced(1.0, text.format(name), ge=0)) for name in names}


def sizes(**settings: tuple[int, str]) -> Fields:
    """Returns settings that are whole numbers, by (default, meaning)."""
    return {name: (int, static(value, text, ge=1)) for name, (value, text) in settings.items()}


SIGMA: Fields = {"sigma": (float, traced(1.0, "standard deviation of the noise", gt=0))}


def deviation() -> Fields:
    """Returns the standard deviation and its decay: evosax's `std_schedule`."""
    decay = traced(1.0, "factor on sigma a generation", gt=0, le=1)
    return SIGMA | {"sigma_decay": (float, decay)}


def antithetic(value: bool) -> Fields:
    """Returns the choice of noise in antithetic pairs."""
    return {"use_antithetic_sampling": (bool, static(value, "noise in antithetic pairs"))}


def optimiser(name: str, lr: float, lr_decay: float = 1.0) -> Fields:
    """Returns the settings of a mean's optimiser: evosax's `optimizer`."""
    fields: Fields = {
        key: (info.annotation, info) for key, info in OptimiserConfig.model_fields.items()
    }
    kind = Literal["sgd", "adam", "adamw", "clipup"]
    fields["optimiser"] = (kind, static(name, "rule that moves the mean"))
    fields["lr"] = (float, traced(lr, "learning rate", gt=0))
    decay = traced(lr_decay, "factor on the learning rate a generation", gt=0, le=1)
    momentum = traced(0.9 if name == "clipup" else 0.0, "sgd, clipup: momentum", ge=0, lt=1)
    fields |= {"lr_decay": (float, decay), "momentum": (float, momentum)}
    fields["max_velocity"] = (float, traced(0.02, "clipup: longest step", gt=0))
    return fields


def shaping(value: str) -> Fields:
    """Returns the choice of evosax's `fitness_shaping_fn`, for strategies that estimate."""
    kind = Literal["raw", "z_score", "centred_ranks", "range"]
    text = "how returns become weights; range: from -1 to 1, linearly"
    return {"shaping": (kind, static(value, text))}


ELITES: Fields = {
    "elite_ratio": (float, static(0.5, "share of the members that count as elite", gt=0, le=1))
}
ELITISM: Fields = {
    "elitism": (bool, static(True, "moves start from the best member, not from any"))
}
TEMPERATURE: Fields = {
    "temperature": (float, static(12.5, "steepness of the weights over ranks", gt=0))
}
ALPHA: Fields = {"alpha": (float, traced(0.5, "share of the noise that is not guided", ge=0, le=1))}
MEANS = {"num_populations": (4, "means, which share the members equally")}
INIT_STD: Fields = {
    "init_std": (float, traced(0.1, "standard deviation of what starts beside the start", gt=0))
}
CMA = dict(std_init=1.0, std_min=0.0, std_max=1e8, c_mean=1.0)
AMALGAM = dict(
    eta_avs_inc=1 / 0.9, eta_avs_dec=0.9, nis_max_gens=50.0, delta_ams=2.0, theta_sdr=1.0,
    c_mult_init=1.0,
)  # fmt: skip
AMALGAM_NOTE = (
    "sigma is added to what is estimated, each generation: with the default of 1 it does not "
    "converge; let it decay. c_mult scales the anticipated shift alone, not the covariance."
)
AMALGAM_SOURCE = (
    "Bosman, Grahl and Thierens 2013, "
    "https://homepages.cwi.nl/~bosman/publications/2013_benchmarkingparameterfree.pdf"
)
SUBSPACE = {"subspace_dims": (1, "dimensions of the subspace of earlier estimates")}


@dataclass(frozen=True)
class Entry:
    """One strategy of evosax.

    Attributes:
      summary: What it is, the first line of its description.
      source: Its paper.
      use: When to use it.
      settings: Its settings, beside those of all.
      start: What it starts with: a mean, a population, or several means.
      evaluated: What is evaluated and saved.
      note: Where evosax departs from the source, or what a reader has to know.
      unused: Numbers of evosax's parameters that no line of its reads.
      base: The settings of all of its kind.
    """

    summary: str
    source: str
    use: str
    settings: Fields
    start: Start = "mean"
    evaluated: str = MEAN
    note: str = ""
    unused: tuple[str, ...] = ()
    base: type[Config] = field(default=EvosaxConfig)


WINDOWS: dict[str, Any] = {"base": EvosaxWindowConfig}
GENETIC: dict[str, Any] = {"start": "population", "evaluated": BEST}
SQUARE = "Its state has the square of the number of parameters: for small networks alone."
ENTRIES: dict[str, Entry] = {
    "ARS": Entry(
        "augmented random search: the best pairs alone, steps in units of their deviation",
        "Mania, Guy and Recht 2018, https://arxiv.org/abs/1803.07055",
        "linear policies and few parameters",
        optimiser("adam", 1e-3) | deviation() | shaping("raw") | ELITES,
        unused=("std_init",),
    ),
    "ASEBO": Entry(
        "antithetic noise that is adapted to the subspace of earlier estimates",
        "Choromanski et al. 2019, https://arxiv.org/abs/1903.04268",
        "few parameters, and gradients that lie in a subspace",
        optimiser("adam", 1e-3) | deviation() | shaping("raw") | sizes(**SUBSPACE),
        note=SQUARE + " Its subspace is that of the last estimates; none decays.",
        unused=("grad_decay",),
    ),
    "CMAAnchoredLES": Entry(
        "separable CMA-ES with learned corrections; the weights come with evosax",
        "evosax, https://github.com/RobertTLange/evosax",
        "what learned rules add to `evosax/Sep_CMA_ES`",
        numbers(std_init=0.05),
    ),
    "CMA_ES": Entry(
        "covariance matrix adaptation: full covariance, evolution paths",
        "Hansen 2016, https://arxiv.org/abs/1604.00772",
        "up to about a thousand parameters whose scales differ and interact",
        numbers(**CMA) | factors("c_std", "d_std", "c_c", "c_1", "c_mu"),
        note=SQUARE,
    ),
    "CR_FM_NES": Entry(
        "cost-reduced fast-moving NES: a diagonal and one direction",
        "Nomura and Ono 2022, https://arxiv.org/abs/2201.11422",
        "many parameters of different scales; few settings",
        numbers(std_init=1.0, lr_mean=1.0, lr_move_std=1.0)
        | factors("c_std", "c_c", "c1", "lr_stag_std", "lr_conv_std", "lr_B"),
    ),
    "DES": Entry(
        "discovered evolution strategy: a rule that was found by meta-learning",
        "Lange et al. 2022, https://arxiv.org/abs/2211.11260",
        "a simple rule with a deviation for each parameter",
        optimiser("sgd", 1.0) | numbers(std_init=1.0, lr_std=0.1) | TEMPERATURE,
    ),
    "DifferentialEvolution": Entry(
        "members move by differences of other members",
        "Storn and Price 1997, https://doi.org/10.1023/A:1008202821328",
        "few parameters; no gradient, no mean",
        INIT_STD
        | ELITISM
        | sizes(num_diff=(1, "differences that a move adds up"))
        | numbers(
            crossover_rate=0.9,
            differential_weight=0.8,
            differential_weight_min=0.8,
            differential_weight_max=0.8,
        ),
        **GENETIC,
    ),
    "DiffusionEvolution": Entry(
        "the population is denoised, by a schedule of a given number of generations",
        "Zhang et al. 2024, https://arxiv.org/abs/2410.02543",
        "few parameters, where several solutions are wanted",
        INIT_STD
        | sizes(num_generations=(128, "generations of the schedule; then it stands still"))
        | numbers(std_m=1.0, scale_factor=1.0),
        note=SQUARE,
        **GENETIC,
    ),
    "ESMC": Entry(
        "antithetic pairs whose losses are clipped at that of the mean",
        "Merchant et al. 2021, https://arxiv.org/abs/2107.09661",
        "returns with rare very bad members",
        optimiser("adam", 1e-2, 0.98**0.1) | deviation() | shaping("raw"),
        note="The first two members are the mean itself; the others are P / 2 - 1 pairs.",
    ),
    "EvoTF_ES": Entry(
        "Evolution Transformer: attention over earlier generations; weights come with evosax",
        "Lange, Tian and Tang 2024, https://arxiv.org/abs/2403.02985",
        "small networks; what learned rules can do",
        numbers(std_init=1.0, lr_mean=1.0, lr_std=1.0)
        | sizes(max_context_len=(100, "generations that it attends to"))
        | antithetic(False),
        note="Its state holds the populations of `max_context_len` generations, with features.",
    ),
    "GESMR_GA": Entry(
        "genetic algorithm whose mutation rates are selected by groups",
        "Kumar et al. 2022, https://arxiv.org/abs/2204.04817",
        "mutation rates that nobody has to choose",
        INIT_STD
        | ELITES
        | sizes(num_groups=(1, "groups of mutation rates; they share all members but the best"))
        | numbers(std_init=1.0, std_min=0.0, std_max=10.0, std_meta=2.0),
        **GENETIC,
    ),
    "GradientlessDescent": Entry(
        "the best of members on radii from small to large",
        "Golovin et al. 2019, https://arxiv.org/abs/1911.06317",
        "returns without noise; few settings",
        numbers(radius_min=0.001, radius_max=0.2, radius_decay=5.0),
        evaluated=BEST_EVER,
    ),
    "GuidedES": Entry(
        "antithetic noise that is larger in a guiding subspace",
        "Maheswaranathan et al. 2018, https://arxiv.org/abs/1806.10230",
        "what earlier estimates are worth as a guide",
        optimiser("sgd", 1e-3)
        | deviation()
        | shaping("raw")
        | sizes(**SUBSPACE)
        | ALPHA
        | numbers(beta=1.0),
        note="The paper's guide is a surrogate gradient; an environment has none, and its own "
        "last estimate takes its place.",
    ),
    "HillClimbing": Entry(
        "normal noise around the best member so far",
        "evosax, https://github.com/RobertTLange/evosax",
        "a baseline; returns without noise",
        deviation(),
        evaluated=BEST_EVER,
    ),
    "iAMaLGaM_Full": Entry(
        "maximum-likelihood Gaussian of the elite, full covariance, anticipated shifts",
        AMALGAM_SOURCE,
        "few parameters",
        deviation() | numbers(**AMALGAM) | factors("eta_std", "eta_shift"),
        note=SQUARE + " " + AMALGAM_NOTE,
    ),
    "iAMaLGaM_Univariate": Entry(
        "maximum-likelihood Gaussian of the elite, diagonal, anticipated shifts",
        AMALGAM_SOURCE,
        "a diagonal estimate of distribution",
        deviation() | numbers(**AMALGAM) | factors("eta_std", "eta_shift"),
        note=AMALGAM_NOTE,
    ),
    "LES": Entry(
        "learned evolution strategy: attention over ranks; weights come with evosax",
        "Lange et al. 2022, https://arxiv.org/abs/2211.11260",
        "what learned rules can do, at the cost of SNES",
        numbers(std_init=1.0),
        note="The weights are evosax's own, not the paper's.",
    ),
    "LGA": Entry(
        "learned genetic algorithm: attention selects; weights come with evosax",
        "Lange et al. 2023, https://arxiv.org/abs/2304.03995",
        "what learned rules can do without a mean",
        INIT_STD | numbers(std_init=1.0),
        note="The weights are evosax's own, not the paper's.",
        unused=("crossover_rate",),
        **GENETIC,
    ),
    "LM_MA_ES": Entry(
        "limited-memory matrix adaptation: a few directions",
        "Loshchilov, Glasmachers and Beyer 2017, https://arxiv.org/abs/1705.06693",
        "many parameters that interact; small populations",
        numbers(**CMA) | factors("c_std", "d_std", "c_c", "c_d"),
        note="Populations far above 4 + 3 ln D are unstable, as evosax says; from 2 D members on "
        "its step is not finite (c_c is P / D), and they are refused.",
        unused=("c_1", "c_mu"),
    ),
    "MA_ES": Entry(
        "matrix adaptation: CMA-ES without a covariance matrix",
        "Beyer and Sendhoff 2017, https://doi.org/10.1109/TEVC.2017.2680320",
        "as `evosax/CMA_ES`, without its decompositions",
        numbers(**CMA) | factors("c_std", "d_std", "c_1", "c_mu"),
        note=SQUARE,
        unused=("c_c",),
    ),
    "MR15_GA": Entry(
        "genetic algorithm whose mutation rate follows the rule of one fifth",
        "Rechenberg 1978, https://doi.org/10.1007/978-3-642-81283-5_8",
        "a baseline without a mean",
        INIT_STD | numbers(std_init=1.0, std_min=0.0, std_max=1e8, std_ratio=0.2),
        note="std_max is infinite in evosax.",
        **GENETIC,
    ),
    "NoiseReuseES": Entry(
        "windows of K steps, one noise an episode, reused in each window",
        "Li et al. 2023, https://arxiv.org/abs/2304.12180",
        "an oracle of `nres`; episodes that all last to the time limit",
        optimiser("adam", 1e-3) | deviation(),
        note="All pairs draw new noise at once, after the time limit's steps: members whose "
        "episodes end early idle until then.",
        **WINDOWS,
    ),
    "Open_ES": Entry(
        "OpenAI-ES: antithetic normal noise, centred ranks",
        "Salimans et al. 2017, https://arxiv.org/abs/1703.03864",
        "an oracle of `open_es`, which needs less memory",
        optimiser("sgd", 1e-3) | deviation() | shaping("centred_ranks") | antithetic(True),
    ),
    "PersistentES": Entry(
        "windows of K steps, weighted by the episode's accumulated noise",
        "Vicol, Metz and Sohl-Dickstein 2021, https://arxiv.org/abs/2112.13835",
        "an oracle of `pes`; episodes that all last to the time limit",
        optimiser("adam", 1e-3) | deviation(),
        note="All pairs start anew at once, after the time limit's steps: members whose "
        "episodes end early idle until then.",
        **WINDOWS,
    ),
    "PGPE": Entry(
        "parameter-exploring policy gradients: a deviation for each parameter, ClipUp",
        "Sehnke et al. 2010, https://doi.org/10.1007/978-3-540-87536-9_40",
        "a strong baseline on robots",
        optimiser("clipup", 0.01)
        | shaping("centred_ranks")
        | numbers(std_init=1.0, std_lr=0.1, std_max_change=0.2),
    ),
    "PSO": Entry(
        "particle swarm: members fly towards their own best and the best of all",
        "Kennedy and Eberhart 1995, https://doi.org/10.1109/ICNN.1995.488968",
        "few parameters; no mean",
        INIT_STD | numbers(inertia_coeff=0.75, cognitive_coeff=1.5, social_coeff=2.0),
        **GENETIC,
    ),
    "RandomSearch": Entry(
        "normal noise around the start; the best member so far is kept",
        "evosax, https://github.com/RobertTLange/evosax",
        "a baseline, as `random_search`",
        SIGMA,
        evaluated=BEST_EVER,
        note="evosax takes any sampler; this one is that of `random_search` without bounds.",
    ),
    "Rm_ES": Entry(
        "rank-m evolution strategy: a few evolution paths, steps by success",
        "Li and Zhang 2017, https://doi.org/10.1109/TEVC.2017.2765682",
        "not to be compared with: see its note",
        numbers(std_init=1.0, std_min=1e-3, std_max=1e8, c_mean=1.0, c_std=0.3, d_std=1.0)
        | numbers(T=20.0, q_star=0.3)
        | factors("c_c", "c_1")
        | sizes(m=(1, "evolution paths that are kept")),
        note="Its rule of success compares weights, which are the same each generation, where "
        "the paper compares returns: the standard deviation falls to std_min whatever happens.",
        unused=("c_mu",),
    ),
    "SAMR_GA": Entry(
        "genetic algorithm whose members carry their mutation rates",
        "Clune et al. 2008, https://doi.org/10.1371/journal.pcbi.1000187",
        "mutation rates that nobody has to choose",
        INIT_STD | ELITES | numbers(std_init=1.0, std_min=0.0, std_max=10.0, std_meta=2.0),
        unused=("std_best_limit",),
        **GENETIC,
    ),
    "Sep_CMA_ES": Entry(
        "separable CMA-ES: a diagonal covariance, evolution paths",
        "Ros and Hansen 2008, https://inria.hal.science/inria-00287367",
        "many parameters of different scales",
        numbers(**CMA) | factors("c_std", "d_std", "c_c", "c_1", "c_mu"),
        note="c_1 and c_mu are those of the full covariance, which learn more slowly than the "
        "paper's (D + 2) / 3 times them.",
    ),
    "SimpleES": Entry(
        "the mean of the elite, and its deviation for each parameter",
        "Rechenberg 1978, https://doi.org/10.1007/978-3-642-81283-5_8",
        "a baseline with a mean",
        optimiser("sgd", 1.0) | ELITES | numbers(std_init=1.0, c_std=0.1),
    ),
    "SimpleGA": Entry(
        "genetic algorithm: the elite is mutated by normal noise",
        "Such et al. 2017, https://arxiv.org/abs/1712.06567",
        "a baseline without a mean",
        INIT_STD | ELITES | deviation() | numbers(crossover_rate=0.0),
        note="Parents are not kept: the best is mutated as the others are.",
        **GENETIC,
    ),
    "SimulatedAnnealing": Entry(
        "moves to the best of a generation, or at random to a worse one while it is warm",
        "Rere, Fanany and Arymurthy 2015, https://doi.org/10.1016/j.procs.2015.12.114",
        "a baseline; returns without noise",
        deviation()
        | numbers(temperature_init=1.0, temperature_limit=0.1, temperature_decay=0.999)
        | numbers(boltzmann_constant=5.0),
        evaluated="the point that it is at, which is the mean",
    ),
    "SNES": Entry(
        "separable natural evolution strategy: a deviation for each parameter",
        "Wierstra et al. 2014, https://jmlr.org/papers/v15/wierstra14a.html",
        "many parameters of different scales; few settings",
        optimiser("sgd", 1.0) | numbers(std_init=1.0) | factors("lr_std_init"),
    ),
    "SV_CMA_ES": Entry(
        "several CMA-ES whose means repel each other",
        "Braun et al. 2024, https://arxiv.org/abs/2410.10390",
        "few parameters, where several solutions are wanted",
        INIT_STD
        | sizes(**MEANS)
        | numbers(**CMA, kernel_std=1.0, alpha=1.0)
        | factors("c_std", "d_std", "c_c", "c_1", "c_mu"),
        start="means",
        evaluated="the mean whose members had the best return so far",
        note=SQUARE,
    ),
    "SV_Open_ES": Entry(
        "several OpenAI-ES whose means repel each other",
        "Liu et al. 2017, https://arxiv.org/abs/1704.02399",
        "where several solutions are wanted",
        INIT_STD
        | optimiser("sgd", 1e-3)
        | SIGMA
        | shaping("centred_ranks")
        | antithetic(True)
        | sizes(**MEANS)
        | numbers(kernel_std=1.0, alpha=1.0),
        start="means",
        evaluated="the mean whose members had the best return so far",
    ),
    "xNES": Entry(
        "exponential natural evolution strategy",
        "Wierstra et al. 2014, https://jmlr.org/papers/v15/wierstra14a.html",
        "few parameters; not to be compared with as xNES: see its note",
        optimiser("sgd", 1.0) | numbers(std_init=1.0) | factors("lr_std_init", "lr_B"),
        note=SQUARE + " evosax multiplies B by the exponential of each element where the paper "
        "multiplies it by the matrix exponential: B stays diagonal. std_init enters twice.",
    ),
}


def make_agent(name: str, entry: Entry) -> Any:
    """Returns the agent of a strategy, with the attributes that the registry lists."""
    title = f"{entry.summary[0].upper()}{entry.summary[1:]}."
    text = f"{title}\n\n{entry.source}.\n\n{entry.note}".rstrip()
    model = pydantic.create_model(
        f"Settings_{name}",
        __base__=entry.base,
        __doc__=f"Settings of {name}.",
        __module__=__name__,
        **entry.settings,  # pyright: ignore
    )

    def make_learner(
        config: Config, env: Environment, policy: Policy, normalise_observations: bool
    ) -> Learner:
        import jax

        with jax.ensure_compile_time_eval():  # evosax computes constants where it is imported
            from rl_es.agents._evosax import make_evosax_learner

        return make_evosax_learner(name, entry.start, config, env, policy, normalise_observations)

    return SimpleNamespace(
        __doc__=text,
        NUMERICS=NUMERICS,
        Hyperparameters=model,
        EVALUATED=entry.evaluated,
        USE=entry.use,
        NOTE=entry.note,
        check=partial(require, "evosax", "evosax", f"evosax/{name}"),
        make_learner=make_learner,
    )


AGENTS = {f"evosax/{name}": make_agent(name, entry) for name, entry in ENTRIES.items()}
