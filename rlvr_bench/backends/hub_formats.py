"""Results in the forms that the Hugging Face hub reads: `.eval_results/*.yaml` and `model-index`.

The hub's library makes them; nothing is uploaded.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HubResult:
    """One task's score of one trained model, for the hub: `repository` and `commit` are the data set's."""

    task: str
    title: str
    repository: str
    commit: str | None
    value: float
    samples: int
    notes: str


def eval_results(results: list[HubResult]) -> list[dict[str, Any]]:
    """Return `.eval_results` entries, a score in percent each."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=r.repository,
            task_id=r.task,
            value=round(100 * r.value, 2),
            dataset_revision=r.commit,
            notes=r.notes,
        )
        for r in results
    ]
    return eval_result_entries_to_yaml(entries)


def model_index(name: str, results: list[HubResult]) -> list[dict[str, Any]]:
    """Return the `model-index` of a model card."""
    from huggingface_hub import EvalResult
    from huggingface_hub.repocard_data import eval_results_to_model_index

    entries = [
        EvalResult(
            task_type="text-generation",
            dataset_type=r.repository,
            dataset_name=r.title,
            dataset_revision=r.commit,
            metric_type="accuracy",
            metric_value=round(100 * r.value, 2),
            metric_name=f"avg@{r.samples}",
        )
        for r in results
    ]
    return eval_results_to_model_index(name, entries)
