"""Evaluation through lm-eval's simple_evaluate with our own task files: k samples, every sample scored.

Sampling is replayable: requests are cut into fixed chunks, each seeded from the stage and its number and
written durably, with token counts, before anything is scored. lm-eval cuts the end token off, so whether
a response was truncated is counted here.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rlvr_bench.backends.completions import Completions, generate
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.likelihood import likelihoods
from rlvr_bench.backends.models import end_ids, load_model, load_tokenizer
from rlvr_bench.backends.tasks import FOLDER
from rlvr_bench.errors import RlvrBenchError
from rlvr_bench.runs import layout
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.record import Evaluation, Outcome
from rlvr_bench.scoring import MATH_VERIFY, TIMED_OUT, UNPARSED, grade_responses, majorities, prepare
from rlvr_bench.scoring.behaviour import pattern

SAMPLED, GREEDY = "sampled", "greedy"


def evaluate(inputs: EvaluateInputs, folder: Path, checkpoint: Path | None) -> Evaluation:
    """Evaluate one model on one task, sampled and greedy, and leave all completions in `folder`.

    Under another prompt the answer is graded with the start that was forced on it.

    Chunks that an earlier attempt finished are kept. Raises RlvrBenchError where lm-eval's own score
    differs from ours: both come from the one grader, so a difference is a bug.
    """
    model = load_model(inputs.card, checkpoint, device=inputs.device)
    tokenizer = load_tokenizer(inputs.card)
    problems = load_problems(inputs.task.problems)
    prepare(problem.answer for problem in problems)
    completions = Completions(folder / layout.COMPLETIONS)
    lm = _language_model(model, tokenizer, inputs, completions)
    found = {}
    for mode, samples in ((SAMPLED, inputs.samples), (GREEDY, 1)):
        lm.mode = mode
        found[mode] = _simple_evaluate(lm, inputs, problems, folder, mode, samples)
    return Evaluation(
        task=inputs.task.name,
        sampled=found[SAMPLED],
        greedy=found[GREEDY],
        generated_tokens=completions.tokens(),
        likelihoods=() if inputs.prompt else likelihoods(model, tokenizer, inputs, problems),
    )


def _simple_evaluate(
    lm: Any, inputs: EvaluateInputs, problems: Sequence[Problem], folder: Path, mode: str, samples: int
) -> tuple[Outcome, ...]:
    import lm_eval.evaluator
    from lm_eval.tasks import TaskManager

    # lm-eval probes pip, cmake and git for 2 s in every call; the run's provenance has what matters
    lm_eval.evaluator.add_env_info = lambda _: None
    sampling = inputs.task.sampling
    generation: dict[str, Any] = {"until": list(inputs.card.stop), "max_gen_toks": sampling.max_tokens}
    if mode == SAMPLED:
        generation |= {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
    else:
        generation |= {"do_sample": False}
    # lm-eval's own include: the task file of this very evaluation, which plain lm-eval can read too
    file = folder / f"task-{mode}.yaml"
    task: dict[str, Any] = {
        "include": str(FOLDER / f"{inputs.task.lm_eval_task}.yaml"),
        "task": inputs.task.lm_eval_task,
        "dataset_kwargs": inputs.task.problems.model_dump(mode="json"),
        "repeats": samples,
        "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": samples}]}],
        "generation_kwargs": generation,
    }
    prompt = inputs.prompt
    if prompt:
        asking = {"template": prompt.template, "begin": prompt.begin}
        task |= {"doc_to_text": "asked", "dataset_kwargs": {**task["dataset_kwargs"], **asking}}
        task |= {"gen_prefix": "begin"} if prompt.begin else {}  # columns, as above: templates would be rendered
    file.write_text(yaml.safe_dump(task, sort_keys=False), encoding="utf-8")
    results = lm_eval.evaluator.simple_evaluate(
        model=lm,
        tasks=[str(file)],
        task_manager=TaskManager(include_path=str(FOLDER), include_defaults=False),
        apply_chat_template=prompt.chat if prompt else True,
        system_instruction=prompt.system if prompt else None,
        bootstrap_iters=0,
        log_samples=True,
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
        fewshot_random_seed=None,
    )
    rows = {row["doc"]["id"]: row for row in results["samples"][inputs.task.lm_eval_task]}
    drawn = lm.drawn.pop(mode)
    outcomes = []
    for number, problem in enumerate(problems):
        responses = rows[problem.id]["resps"][0]
        if len(responses) != samples:
            raise RlvrBenchError(f"{problem.id}: {len(responses)} responses where {samples} were asked for")
        outcomes.append(
            outcome(problem, responses, drawn[number * samples : (number + 1) * samples], sampling.max_tokens)
        )
    theirs = results["results"][inputs.task.lm_eval_task]
    for metric, ours in metrics_of(outcomes).items():
        if abs(ours - float(theirs[f"{metric},all"])) > 1e-9:
            raise RlvrBenchError(f"lm-eval says {metric} {theirs[f'{metric},all']}, the outcomes give {ours}")
    return tuple(outcomes)


def metrics_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return what our task files measure: avg@k, pass@k and maj@k with k all samples of a problem."""
    n = len(outcomes)
    return {
        "avg_at_k": sum(o.correct / o.attempts for o in outcomes) / n,
        "pass_at_k": sum(o.correct > 0 for o in outcomes) / n,
        "maj_at_k": sum(o.majority[o.attempts] if o.attempts > 1 else o.correct for o in outcomes) / n,
    }


def outcome(problem: Problem, responses: Sequence[str], drawn: Sequence[dict[str, Any]], limit: int) -> Outcome:
    """Count what one problem's responses are: right, unparsed, truncated, how graded, and how they behave.

    `drawn` holds the `tokens` of each response, of at most `limit`, and whether it was `truncated`.
    """
    grades = grade_responses([problem.answer] * len(responses), responses)
    how = Counter(grade.how for grade in grades)
    patterns: dict[str, tuple[int, int]] = {}
    for text, row, grade in zip(responses, drawn, grades, strict=True):
        found = pattern(text, tokens=row["tokens"], limit=limit, truncated=row["truncated"])
        attempts, right = patterns.get(found, (0, 0))
        patterns[found] = (attempts + 1, right + grade.equal)
    return Outcome(
        id=problem.id,
        attempts=len(responses),
        correct=sum(grade.equal for grade in grades),
        unparsed=how[UNPARSED],
        truncated=sum(row["truncated"] for row in drawn),
        math_verify=how[MATH_VERIFY],
        timed_out=how[TIMED_OUT],
        majority=majorities(responses, [grade.equal for grade in grades]),
        patterns=dict(sorted(patterns.items())),
    )


def _language_model(model: Any, tokenizer: Any, inputs: EvaluateInputs, completions: Completions) -> Any:
    """Return lm-eval's HFLM with chunked, seeded, recorded sampling. A function, as HFLM is heavy."""
    from lm_eval.models.huggingface import HFLM

    sampling = inputs.task.sampling
    begin = inputs.prompt.begin if inputs.prompt else ""

    class ReplayableLM(HFLM):  # type: ignore[misc]
        mode = SAMPLED

        def __init__(self) -> None:
            super().__init__(
                pretrained=model,
                tokenizer=tokenizer,
                batch_size=sampling.batch_size,
                device=inputs.device,
                max_length=inputs.card.context_tokens,
                # a chat template says itself where a text begins; a bare text begins as its tokenizer wants it
                add_bos_token=False if inputs.prompt is None or inputs.prompt.chat else None,
            )
            self.ends = end_ids(tokenizer, inputs.card)
            self.drawn: dict[str, list[dict[str, Any]]] = {}

        def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:  # noqa: ARG002
            """Answer requests chunk by chunk, in their own order."""
            found: list[str] = []
            drawn: list[dict[str, Any]] = []
            for start in range(0, len(requests), sampling.batch_size):
                batch = [request.args for request in requests[start : start + sampling.batch_size]]
                number = start // sampling.batch_size
                key = digest([self.mode, number, inputs.sampling_seed, [list(args) for args in batch]])
                if key not in completions.chunks:
                    completions.add(key, self._generate_chunk(batch, number))
                found += [begin + row["text"] for row in completions.chunks[key]]
                drawn += completions.chunks[key]
            self.drawn[self.mode] = drawn
            return found

        def _generate_chunk(self, batch: list[Any], number: int) -> list[dict[str, Any]]:
            wanted = dict(batch[0][1])
            until, limit = wanted.pop("until"), wanted.pop("max_gen_toks")
            ids, mask = (part.to(self.model.device) for part in self.encoded([context for context, _ in batch]))
            if ids.shape[1] + limit > inputs.card.context_tokens:
                raise RlvrBenchError(
                    f"a prompt of {ids.shape[1]} tokens and an answer of {limit} do not fit the context of "
                    f"{inputs.card.name} ({inputs.card.context_tokens} tokens)"
                )
            seed = (inputs.sampling_seed, self.mode, number)
            options = {"seed": seed, "limit": limit, "ends": self.ends, "stops": until, **wanted}
            return generate(self.model, self.tokenizer, ids, mask, **options)

        def encoded(self, contexts: list[str]) -> tuple[Any, Any]:
            """Return ids and mask of some contexts: the tokens that TRL feeds for them."""
            return self.tok_batch_encode(contexts)  # type: ignore[no-any-return]

    return ReplayableLM()
