"""The spot audit: a seeded sample of a submission's answers graded again from saved completions."""

import random
from pathlib import Path
from typing import Any

from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.lm_eval import outcome
from rlvr_bench.errors import RefusedError
from rlvr_bench.publishing import files
from rlvr_bench.publishing.validation import Checked
from rlvr_bench.runs import layout
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import EvaluateInputs

GRADED = 200
"""Problems of the sample, over all stages: a submission that changed one answer in a hundred is caught in 87 % of
audits, one that changed one in fifty in 98 %."""


def audit(checked: Checked, run: RunFolder, *, seed: int, graded: int = GRADED) -> int:
    """Grade `graded` problems of a submission again from a run's completions and return how many were.

    Raises RefusedError where completions are missing or say something else than the outcomes.
    """
    stages = [s for s in checked.plan.stages if isinstance(s.inputs, EvaluateInputs)]
    rng = random.Random(f"audit/{checked.plan.digest}/{seed}")
    chosen: dict[str, set[int]] = {}
    for _ in range(graded):
        stage = rng.choice(stages)
        assert isinstance(stage.inputs, EvaluateInputs)
        chosen.setdefault(stage.id, set()).add(rng.randrange(stage.inputs.task.problems.count))
    for stage in stages:
        if stage.id not in chosen:
            continue
        assert isinstance(stage.inputs, EvaluateInputs)
        record = checked.records[stage.id]
        assert record is not None and record.evaluation is not None
        rows = _completions(run.stage(stage.id))
        problems = load_problems(stage.inputs.task.problems)
        samples = stage.inputs.samples
        if len(rows) != len(problems) * (samples + 1):
            raise RefusedError(f"{stage.id}: {len(rows)} completions, not {len(problems) * (samples + 1)}")
        begin = stage.inputs.prompt.begin if stage.inputs.prompt else ""
        for number in sorted(chosen[stage.id]):
            mine = rows[number * samples : (number + 1) * samples]
            texts, limit = [begin + row["text"] for row in mine], stage.inputs.task.sampling.max_tokens
            if outcome(problems[number], texts, mine, limit) != record.evaluation.sampled[number]:
                raise RefusedError(
                    f"{stage.id}: problem {problems[number].id} is graded otherwise from its completions",
                    where=str(run.stage(stage.id) / layout.COMPLETIONS),
                )
    return sum(map(len, chosen.values()))


def _completions(folder: Path) -> list[dict[str, Any]]:
    """Return the completions of a stage's file, in order. The file is a stranger's: bounded, and not changed."""
    path = folder / layout.COMPLETIONS
    if not path.is_file() or path.is_symlink():
        raise RefusedError("no completions here", where=str(path))
    if path.stat().st_size > files.MOST_UNPACKED:
        raise RefusedError(f"more than {files.MOST_UNPACKED:,} bytes of completions", where=str(path))
    rows: list[dict[str, Any]] = []
    try:
        for text in files.members(path.read_bytes(), path.name):
            for line in files.text_of(text, path.name).splitlines():
                rows += files.parsed(line, path.name)["rows"]
    except (KeyError, TypeError) as error:
        raise RefusedError("these are no completions of this program", where=str(path)) from error
    kinds = {"text": str, "tokens": int, "truncated": bool}
    if not all(isinstance(row, dict) and all(isinstance(row.get(k), v) for k, v in kinds.items()) for row in rows):
        raise RefusedError("these are no completions of this program", where=str(path))
    return rows
