"""A run's results in other programs' forms: files for a model's repository on the hub, and lm-eval's own layout."""

import json
from pathlib import Path
from typing import Any

import yaml

from rlvr_bench import __version__, catalog
from rlvr_bench.analysis import Records
from rlvr_bench.backends.hub_formats import HubResult, eval_results, model_index
from rlvr_bench.backends.sources import GENERATORS
from rlvr_bench.errors import NothingMeasuredError
from rlvr_bench.runs.layout import RunFolder
from rlvr_bench.runs.store import write_text
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.card import HubWeights
from rlvr_bench.schema.plan import EvaluateInputs, Plan, Stage
from rlvr_bench.schema.record import Evaluation

DATE = "1970-01-01T00-00-00.000000"
"""In the names of lm-eval's files: equal runs have equal files."""


def _evaluations(plan: Plan, records: Records) -> list[tuple[Stage, EvaluateInputs, Evaluation]]:
    found = []
    for stage in plan.stages:
        record = records[stage.id]
        if isinstance(stage.inputs, EvaluateInputs) and record is not None and record.evaluation is not None:
            found.append((stage, stage.inputs, record.evaluation))
    return found


def to_hub(plan: Plan, records: Records, run: RunFolder) -> list[Path]:
    """Write, for every trained model, `.eval_results` and a model card with `model-index`, and return the folders.

    Raises NothingMeasuredError where no task is of a data set on the hub.
    """
    of_model: dict[tuple[str, int], list[HubResult]] = {}
    for stage, inputs, evaluation in _evaluations(plan, records):
        cell, problems = stage.cell, inputs.task.problems
        if cell.arm != plan.method.name or cell.seed is None or inputs.step is not None:
            continue
        if problems.source in GENERATORS or problems.source == "file":
            continue
        data = problems.pin.data if problems.pin and problems.pin.data else catalog.load_data_set(problems.source)
        if data.hub is None:
            continue
        sampling = inputs.task.sampling
        of_model.setdefault((cell.model, cell.seed), []).append(
            HubResult(
                task=inputs.task.name,
                title=data.title,
                repository=problems.pin.repository if problems.pin and problems.pin.repository else data.hub.repository,
                commit=problems.pin.commit if problems.pin else None,
                value=sum(o.correct / o.attempts for o in evaluation.sampled) / len(evaluation.sampled),
                samples=inputs.samples,
                notes=f"avg@{inputs.samples}, temperature {sampling.temperature:g}, {sampling.max_tokens} tokens; "
                f"rlvr-bench {__version__}, suite {plan.suite.name} version {plan.suite.version}",
            )
        )
    if not of_model:
        raise NothingMeasuredError("no task of this run is a data set of the hub: there is nothing for a model's page")
    cards = {card.name: card for card in plan.cards}
    folders = []
    for (model, seed), results in of_model.items():
        name = f"{model}-{plan.method.name}-seed-{seed}"
        folder = run.report / "hf" / name
        for result in results:
            text = yaml.safe_dump(eval_results([result]), sort_keys=False, allow_unicode=True)
            write_text(folder / ".eval_results" / f"{result.task}.yaml", text)
        weights = cards[model].weights
        head: dict[str, Any] = {"library_name": "transformers", "tags": ["rlvr", "rlvr-bench", plan.method.name]}
        if isinstance(weights, HubWeights):
            head["base_model"] = weights.repository
        head["model-index"] = model_index(name, results)
        words = (
            f"{model}, trained with {plan.method.name} ({plan.method.title}), seed {seed}, by rlvr-bench {__version__}."
        )
        front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
        write_text(folder / "README.md", f"---\n{front}---\n\n# {name}\n\n{words}\n")
        folders.append(folder)
    return folders


def to_lm_eval(plan: Plan, records: Records, run: RunFolder) -> list[Path]:
    """Write every evaluation in the layout that lm-eval's `--log_samples` leaves, and return the folders.

    One folder for each cell; problems are their ids, completions are not repeated (they lie in the stages' folders).
    """
    cells: dict[str, list[tuple[EvaluateInputs, Evaluation]]] = {}
    for stage, inputs, evaluation in _evaluations(plan, records):
        step = "" if inputs.step is None else f"__step-{inputs.step}"
        cells.setdefault(stage.cell.id.replace("/", "__") + step, []).append((inputs, evaluation))
    folders = []
    for name, found in cells.items():
        folder = run.report / "lm-eval" / name
        body: dict[str, Any] = {
            **{key: {} for key in ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples")},
            "config": {"model": "hf", "model_args": {"pretrained": name}},
            "chat_template_sha": digest(found[0][0].card.chat_template),
        }
        for inputs, evaluation in found:
            task = inputs.task.lm_eval_task
            _add(body, inputs, evaluation)
            lines = "".join(json.dumps(row) + "\n" for row in _samples(inputs, evaluation))
            write_text(folder / f"samples_{task}_{DATE}.jsonl", lines)
        write_text(folder / f"results_{DATE}.json", json.dumps(body, indent=1) + "\n")
        folders.append(folder)
    return folders


def _add(body: dict[str, Any], inputs: EvaluateInputs, evaluation: Evaluation) -> None:
    task, sampling, n = inputs.task.lm_eval_task, inputs.task.sampling, len(evaluation.sampled)
    generation: dict[str, Any] = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    generation |= {"until": list(inputs.card.stop), "max_gen_toks": sampling.max_tokens}
    scores = [_scores(o.correct, o.attempts, o.majority) for o in evaluation.sampled]
    means = {f"{name},all": sum(s[name] for s in scores) / n for name in scores[0]}
    body["results"][task] = {"alias": task, **means}
    body["configs"][task] = {
        "task": task,
        "output_type": "generate_until",
        "repeats": inputs.samples,
        "num_fewshot": 0,
        "generation_kwargs": generation,
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in scores[0]],
        "metadata": {"version": 1.0},
    }
    body["versions"][task] = 1.0
    body["n-shot"][task] = 0
    body["higher_is_better"][task] = dict.fromkeys(scores[0], True)
    body["n-samples"][task] = {"original": n, "effective": n}


def _scores(correct: int, attempts: int, majority: dict[int, float]) -> dict[str, float]:
    majority_right = majority.get(attempts, float(correct == attempts))
    return {"avg_at_k": correct / attempts, "pass_at_k": float(correct > 0), "maj_at_k": majority_right}


def _samples(inputs: EvaluateInputs, evaluation: Evaluation) -> list[dict[str, Any]]:
    asked = digest([inputs.card.chat_template, inputs.prompt.model_dump(mode="json") if inputs.prompt else None])
    rows = []
    for number, o in enumerate(evaluation.sampled):
        scores = _scores(o.correct, o.attempts, o.majority)
        rows.append(
            {
                "doc_id": number,
                "doc": {"id": o.id},
                "target": "",
                "arguments": {},
                "resps": [],
                "filtered_resps": [],
                "filter": "all",
                "metrics": list(scores),
                "doc_hash": digest(o.id),
                "prompt_hash": digest([asked, o.id]),
                "target_hash": digest(""),
                **scores,
            }
        )
    return rows
