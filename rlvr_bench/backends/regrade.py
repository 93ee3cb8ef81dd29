"""Answers graded again from saved completions: no model, no GPU."""

from pathlib import Path

from rlvr_bench.backends.completions import read_rows
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.lm_eval import outcome
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.runs import layout
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.record import Evaluation, Outcome
from rlvr_bench.scoring import prepare


def graded_again(inputs: EvaluateInputs, folder: Path, old: Evaluation) -> Evaluation:
    """Return an evaluation with all answers of its completions graded anew; what was not drawn from them is kept.

    Raises EnvironmentFaultError where the completions are missing or are not as many as the plan asks for.
    """
    path = folder / layout.COMPLETIONS
    if not path.is_file():
        raise EnvironmentFaultError("the completions of this stage are not here", where=str(path))
    problems = load_problems(inputs.task.problems)
    prepare(problem.answer for problem in problems)
    (rows,) = read_rows(path)
    due = len(problems) * (inputs.samples + 1)
    if len(rows) != due:
        raise EnvironmentFaultError(
            f"{len(rows)} completions, the plan asks for {due}",
            where=str(path),
            hint=f"remove {folder} and run the same validate command again",
        )
    begin = inputs.prompt.begin if inputs.prompt else ""

    def outcomes(first: int, samples: int) -> tuple[Outcome, ...]:
        found = []
        for number, problem in enumerate(problems):
            mine = rows[first + number * samples : first + (number + 1) * samples]
            texts = [begin + row["text"] for row in mine]
            found.append(outcome(problem, texts, mine, inputs.task.sampling.max_tokens))
        return tuple(found)

    sampled = outcomes(0, inputs.samples)
    greedy = outcomes(len(problems) * inputs.samples, 1)
    return old.model_copy(update={"sampled": sampled, "greedy": greedy})
