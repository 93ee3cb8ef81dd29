"""What stands behind a verdict: strategies, mechanism, exposure, and what a reward pays for. Proportions 0-1."""

from pydantic import Field

from rlvr_bench.schema.base import Frozen


class ClassUse(Frozen):
    """One class of a behaviour: its share of the answers and how many of them are right, before and after training.

    An accuracy is None where no answer is of the class.
    """

    name: str
    share_before: float
    share_after: float
    accuracy_before: float | None
    accuracy_after: float | None


class Transition(Frozen):
    """Answers of one class before and one class after training, as shares of all: kept + lost + won + missed in sum.

    `kept`: right before and after, `lost`: right before only, `won`: right after only, `missed`: neither.
    `contribution` is won - lost, in accuracy; contributions add up to the gain. `part` is its part of the gain (the
    paper's partial contribution), None where there is hardly a gain to part.
    """

    before: str
    after: str
    kept: float
    lost: float
    won: float
    missed: float
    contribution: float
    part: float | None


class Strategy(Frozen):
    """One behaviour of one model under one arm, mean over its runs: classes and transitions on the deciding problems.

    `switch` is what all moves between classes contribute together, `within` by class what the answers that stayed in it
    do: switch + sum of within = gain.

    `gap` is the difference between the accuracy and the sum of share x accuracy over classes, 0 where the counts agree.
    `correlation` is Pearson's r of the first class's share with the accuracy over `checkpoints` (start, evaluated steps
    and end of every run), None where it cannot be told.
    """

    model: str
    arm: str
    behaviour: str
    classes: tuple[ClassUse, ...]
    transitions: tuple[Transition, ...]
    gain: float
    switch: float
    within: dict[str, float]
    gap: float
    correlation: float | None = None
    checkpoints: int = 0


class Curve(Frozen):
    """The training of one run, at most 40 points: means over the steps up to each. None where nothing reports it.

    `saturated` is the step at which the reward had made 95 % of its rise and stayed there, None where it hardly rose or
    rose to the end.
    """

    model: str
    arm: str
    seed: int
    steps: tuple[int, ...]
    reward: tuple[float, ...]
    groups_with_signal: tuple[float, ...]
    completion_tokens: tuple[float, ...]
    truncated: tuple[float, ...]
    entropy: tuple[float | None, ...]
    token_probability: tuple[float | None, ...]
    clipped: tuple[float | None, ...]
    saturated: int | None = None


class Shift(Frozen):
    """A mean over problems before and after training, and their difference with its 95 % interval over problems; nats a
    token."""

    before: float
    after: float
    change: float
    lower: float
    upper: float


class Likelihood(Frozen):
    """How likely one model finds the prompts and the gold answers of a task, untouched and under an arm (mean over
    runs)."""

    model: str
    arm: str
    task: str
    problems: int
    prompt: Shift
    answer: Shift


class Completion(Frozen):
    """What one untouched model completes of a task's problems from the first `shown` of them."""

    model: str
    task: str
    shown: float
    problems: int
    exact: float
    rouge_l: float
    right: float


class Comparison(Frozen):
    """Exact completion of a benchmark against that of problems which one model cannot have seen: `p_value` one-sided,
    Fisher's exact test, times the number of comparisons (at most 1). `published` says whether those were published
    after its data; generated ones are worded otherwise, and decide nothing."""

    model: str
    task: str
    shown: float
    against: tuple[str, ...]
    published: bool
    exact: float
    fresh: float
    p_value: float


class CleanArm(Frozen):
    """A lineage's gain on the deciding problems less that on a task that nobody can have seen, with its 95 % interval.

    `counts` says whether the start leaves room there on both sides (10 to 90 %)."""

    lineage: str
    task: str
    difference: float
    lower: float
    upper: float
    start: float
    counts: bool


class Paid(Frozen):
    """What an arm's reward pays, mean over models and runs, for answers that deserve nothing, by kind of answer, beside
    the untouched models' first rollouts. `too_much` are the kinds that it should not pay so; `failed` those that made
    it fail."""

    arm: str
    first: float
    by_kind: dict[str, float] = Field(default_factory=dict)
    too_much: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Precision(Frozen):
    """How finely a lineage's gain is known, and what its variance is made of (shares that sum to 1).

    `half_width` of the 95 % interval, `visible` the smallest true gain that would be declared above the margin with
    80 % power. `problems` falls with more problems alone, `answers` also with more samples, `runs` with more seeds or
    models. `guessed` where single samples cannot tell the first two apart.
    """

    lineage: str
    half_width: float
    visible: float
    problems: float
    answers: float
    runs: float
    guessed: bool


class Explanation(Frozen):
    """All of it, and `sentences` that say what carries each lineage's gain."""

    sentences: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    curves: tuple[Curve, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    completions: tuple[Completion, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    clean_arms: tuple[CleanArm, ...] = ()
    paid: tuple[Paid, ...] = ()
    precision: tuple[Precision, ...] = ()
