"""A run's records by model, arm and seed: what analysis reads, and nothing that it concludes."""

from dataclasses import dataclass, field

from rlvr_bench.runs import store
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.schema.plan import BASELINE, EXPOSURE, PROMPT, EvaluateInputs, Plan
from rlvr_bench.schema.record import Evaluation, Exposure, Labelling, Outcome, Record, Training
from rlvr_bench.schema.suite import TaskSpec

Records = dict[str, Record | None]


@dataclass(frozen=True)
class ModelData:
    """All records of one model, by task name, each arm's runs in the order of seeds.

    `steps` are the method's evaluations at earlier steps, where every run has them; `prompts` those of the untouched
    model under other prompts; `labelling` what preparations labelled; `exposure` what it completes of problems; `seeds`
    those of each arm's runs.
    """

    name: str
    lineage: str
    before: dict[str, Evaluation]
    after: dict[str, list[dict[str, Evaluation]]] = field(default_factory=dict)
    training: dict[str, list[Training]] = field(default_factory=dict)
    steps: dict[int, list[dict[str, Evaluation]]] = field(default_factory=dict)
    labelling: list[Labelling] = field(default_factory=list)
    prompts: dict[str, dict[str, Evaluation]] = field(default_factory=dict)
    exposure: dict[str, Exposure] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)

    def measured(self, method: str) -> bool:
        """Return whether the model has a start and a trained run of a method."""
        return bool(self.before and self.after.get(method))


def read(run: RunFolder) -> tuple[Plan, Records]:
    """Return a run's plan and the record of every stage, None where it is owed."""
    plan = store.read_plan(run)
    return plan, {stage.id: store.read_record(run, stage) for stage in plan.stages}


def results_of(plan: Plan, records: Records) -> list[ModelData]:
    """Return the results of every model of a plan, whatever there is of them."""
    tasks = [task for task in plan.suite.tasks if task.deciding]
    return [_model_data(plan, records, card.name, card.lineage, tasks) for card in plan.cards]


def _model_data(plan: Plan, records: Records, name: str, lineage: str, tasks: list[TaskSpec]) -> ModelData:
    """Collect a model's results; a seed counts only where training and every deciding task have one."""
    cells: dict[tuple[str, int | None], dict[int | None, list[Record]]] = {}
    for stage in plan.stages:
        record = records[stage.id]
        if stage.cell.model == name and record is not None and record.failure is None:
            step = stage.inputs.step if isinstance(stage.inputs, EvaluateInputs) else None
            cells.setdefault((stage.cell.arm, stage.cell.seed), {}).setdefault(step, []).append(record)
    data = ModelData(name, lineage, {})
    for (arm, seed), by_step in cells.items():
        at = {step: {r.evaluation.task: r.evaluation for r in found if r.evaluation} for step, found in by_step.items()}
        at = {step: found for step, found in at.items() if all(task.name in found for task in tasks)}
        evaluations = at.pop(None, None)
        trainings = [r.training for r in by_step.get(None, ()) if r.training]
        data.labelling.extend(r.labelling for r in by_step.get(None, ()) if r.labelling)
        for record in by_step.get(None, ()):
            if record.exposure:
                data.exposure[record.exposure.task] = record.exposure
        if evaluations is None or arm == EXPOSURE:
            continue
        if arm == BASELINE:
            data.before.update(evaluations)
        elif arm.startswith(PROMPT):
            data.prompts[arm.removeprefix(PROMPT)] = evaluations
        elif trainings:
            data.after.setdefault(arm, []).append(evaluations)
            data.training.setdefault(arm, []).extend(trainings)
            data.seeds.setdefault(arm, []).append(seed or 0)
            for step, found in at.items():
                if step is not None:
                    data.steps.setdefault(step, []).append(found)
    ends = len(data.after.get(plan.method.name, ()))
    for step in [step for step, found in data.steps.items() if len(found) != ends]:
        del data.steps[step]
    return data


def outcomes_of(evaluations: dict[str, Evaluation], tasks: list[TaskSpec], mode: str = "sampled") -> list[Outcome]:
    """Return the outcomes of all deciding problems, each weighing the same."""
    return [o for task in tasks for o in getattr(evaluations[task.name], mode)]
