"""Evaluation through lm-eval's simple_evaluate with our own task files: k samples, every sample scored.

Sampling is replayable: requests are cut into fixed chunks, each seeded from the stage and its number and
written durably, with token counts, before anything is scored. lm-eval cuts the end token off, so whether
a response was truncated is counted here.
"""

import gc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rlvr_bench.backends.completions import Completions
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.engines import EVALUATION_SHARE, room_for
from rlvr_bench.backends.likelihood import likelihoods
from rlvr_bench.backends.models import check_weights, end_ids, load_model, load_tokenizer, prompt_ids
from rlvr_bench.backends.sampling import Rows, Sampler, TransformersSampler, VllmSampler, in_chunks
from rlvr_bench.backends.tasks import FOLDER
from rlvr_bench.errors import RlvrBenchError
from rlvr_bench.runs import layout
from rlvr_bench.runs.provenance import generator
from rlvr_bench.schema.base import digest
from rlvr_bench.schema.plan import EvaluateInputs
from rlvr_bench.schema.problem import Problem
from rlvr_bench.schema.record import Evaluation, Outcome
from rlvr_bench.scoring import MATH_VERIFY, TIMED_OUT, UNPARSED, grade_responses, majorities, prepare
from rlvr_bench.scoring.behaviour import pattern

SAMPLED, GREEDY = "sampled", "greedy"
Likelihoods = tuple[tuple[float, float] | None, ...]


def evaluate(inputs: EvaluateInputs, folder: Path, checkpoint: Path | None) -> Evaluation:
    """Evaluate one model on one task, sampled and greedy, and leave all completions in `folder`.

    Under another prompt the answer is graded with the start that was forced on it.

    Chunks that an earlier attempt finished are kept. Raises RlvrBenchError where lm-eval's own score
    differs from ours: both come from the one grader, so a difference is a bug.
    """
    tokenizer = load_tokenizer(inputs.card)
    problems = load_problems(inputs.task.problems)
    prepare(problem.answer for problem in problems)
    completions = Completions(folder / layout.COMPLETIONS)
    likely: Likelihoods = ()
    if generator(inputs.device) == "vllm":
        likely = _measured(inputs, checkpoint, tokenizer, problems)  # before the engine takes its share of the GPU
        longest = max(len(prompt_ids(tokenizer, problem.problem)) for problem in problems)
        lm = _vllm_model(inputs, checkpoint, completions, tokenizer, longest)
    else:
        model = load_model(inputs.card, checkpoint, device=inputs.device)
        lm = _transformers_model(inputs, model, completions, tokenizer)
    found = {}
    for mode, samples in ((SAMPLED, inputs.samples), (GREEDY, 1)):
        lm.mode = mode
        found[mode] = _simple_evaluate(lm, inputs, problems, folder, mode, samples)
    return Evaluation(
        task=inputs.task.name,
        sampled=found[SAMPLED],
        greedy=found[GREEDY],
        generated_tokens=completions.tokens(),
        likelihoods=likely or _measured(inputs, checkpoint, tokenizer, problems, lm.model),
    )


def _measured(
    inputs: EvaluateInputs, checkpoint: Path | None, tokenizer: Any, problems: Sequence[Problem], model: Any = None
) -> Likelihoods:
    """Return the likelihoods of problems and answers, none under another prompt; a model that is loaded for them alone
    is given back."""
    if inputs.prompt:
        return ()
    if model is not None:
        return likelihoods(model, tokenizer, inputs, problems)
    import torch

    found = likelihoods(load_model(inputs.card, checkpoint, device=inputs.device), tokenizer, inputs, problems)
    gc.collect()  # a model is a ring of references
    torch.cuda.empty_cache()
    return found


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


class _Replayable:
    """What both of lm-eval's models share: requests answered in fixed chunks, in their own order, by a sampler."""

    mode = SAMPLED

    def begin(self, inputs: EvaluateInputs, completions: Completions, sampler: Sampler) -> None:
        """Take what the chunks need."""
        self.inputs, self.completions, self.sampler = inputs, completions, sampler
        self.drawn: dict[str, Rows] = {}

    def encoded(self, contexts: list[str]) -> list[list[int]]:
        """Return the token ids of some contexts: those that TRL feeds for them."""
        raise NotImplementedError

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:  # noqa: ARG002
        """Answer requests chunk by chunk, in their own order."""
        inputs, size = self.inputs, self.inputs.task.sampling.batch_size
        arguments = [request.args for request in requests]
        chunks = [[text for text, _ in arguments[i : i + size]] for i in range(0, len(requests), size)]
        prompts = [ids for contexts in chunks for ids in self.encoded(contexts)]
        wanted = dict(arguments[0][1])
        wanted.pop("until")
        limit = wanted.pop("max_gen_toks")
        longest = max(map(len, prompts))
        if longest + limit > inputs.card.context_tokens:
            raise RlvrBenchError(
                f"a prompt of {longest} tokens and an answer of {limit} do not fit the context of "
                f"{inputs.card.name} ({inputs.card.context_tokens} tokens)"
            )

        def key(number: int, _batch: Sequence[list[int]]) -> str:
            asked = [list(args) for args in arguments[number * size : (number + 1) * size]]
            return digest([self.mode, number, inputs.sampling_seed, asked])

        drawn = in_chunks(
            self.sampler,
            self.completions,
            prompts,
            size,
            key=key,
            seed=lambda number: (inputs.sampling_seed, self.mode, number),
            limit=limit,
            **wanted,
        )
        self.drawn[self.mode] = drawn
        begin = inputs.prompt.begin if inputs.prompt else ""
        return [begin + row["text"] for row in drawn]


def _transformers_model(inputs: EvaluateInputs, model: Any, completions: Completions, tokenizer: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    class TransformersLM(_Replayable, HFLM):  # type: ignore[misc]
        def encoded(self, contexts: list[str]) -> list[list[int]]:
            ids, mask = self.tok_batch_encode(contexts)
            return [row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True)]

    lm = TransformersLM(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=inputs.task.sampling.batch_size,
        device=inputs.device,
        max_length=inputs.card.context_tokens,
        add_bos_token=_begins(inputs),
    )
    lm.begin(
        inputs, completions, TransformersSampler(model, tokenizer, end_ids(tokenizer, inputs.card), inputs.card.stop)
    )
    return lm


def _begins(inputs: EvaluateInputs) -> bool | None:
    """A chat template says itself where a text begins; a bare text begins as its tokenizer wants it."""
    return False if inputs.prompt is None or inputs.prompt.chat else None


def _vllm_model(
    inputs: EvaluateInputs, checkpoint: Path | None, completions: Completions, tokenizer: Any, longest: int
) -> Any:
    from lm_eval.models.vllm_causallms import VLLM

    class VllmLM(_Replayable, VLLM):  # type: ignore[misc]
        def encoded(self, contexts: list[str]) -> list[list[int]]:
            special = {} if _begins(inputs) is None else {"add_special_tokens": False}
            return [list(ids) for ids in tokenizer(contexts, **special)["input_ids"]]

    untouched = check_weights(inputs.card)
    lm = VllmLM(
        pretrained=str(checkpoint or untouched),
        tokenizer=str(untouched),
        dtype="bfloat16",
        max_model_len=room_for(inputs.card, longest, inputs.task.sampling.max_tokens),
        gpu_memory_utilization=EVALUATION_SHARE,
        seed=inputs.sampling_seed % 2**31,
        trust_remote_code=False,
        batch_size=inputs.task.sampling.batch_size,
    )
    lm.tokenizer, lm.hf_chat_template = tokenizer, None  # the card's template, as everywhere
    ends = end_ids(tokenizer, inputs.card)
    lm.begin(inputs, completions, VllmSampler(lm.model, tokenizer, ends, inputs.card.stop))
    return lm
