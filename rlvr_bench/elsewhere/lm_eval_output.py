"""Reading lm-eval's own output: results_*.json and samples_*.jsonl, as EvaluationTracker writes them.

Owns what makes two evaluations comparable. lm-eval is not imported: the files are read as untrusted text.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr_bench.errors import FileFormatError, NotFoundError, UsageError

MACHINE_KEYS = frozenset(
    {"metadata", "dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset", "task_alias", "tag"}
)
"""Keys of a task's configuration that say where data and model lie, not what is asked: documents are compared by
their hashes instead."""

DECODING_ARGUMENTS = frozenset(
    {
        *(
            "max_gen_toks",
            "max_length",
            "max_model_len",
            "max_new_tokens",
            "truncation",
            "temperature",
            "top_p",
            "top_k",
        ),
        *("add_bos_token", "prefix_token_id", "enable_thinking", "think_end_token", "think_start_token"),
        *("chat_template", "chat_template_args", "apply_chat_template", "softmax_dtype", "dtype"),
    }
)
"""Arguments of lm-eval's models that change what is asked or how it is answered; the rest names weights and devices."""

AMOUNTS = frozenset({"repeats", "k"})
"""Keys that say how many samples are drawn, not how: more before than after is good practice."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where a function lay in memory, as Python prints it."""

WHOLE_RUN = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
"""What holds for all tasks of an evaluation and belongs to the model's prompt."""

TOP_KEY_ENDS = re.compile(r"[.\[]")
SHOWN = 80
LONGEST_TASK = 200


@dataclass(frozen=True)
class TaskResult:
    """One task of one evaluation: `scores` and `prompts` by document (its hash, and which of its copies)."""

    file: Path
    scores: dict[str, float]
    prompts: dict[str, str]
    asked: dict[str, str]
    prompting: dict[str, str]
    repeats: int


def read_folder(path: Path, *, metric: str | None, chosen_filter: str | None) -> dict[str, TaskResult]:
    """Return every task's result in an lm-eval output folder, or in one results file.

    Raises NotFoundError where there is none, UsageError where a task was evaluated twice, where samples were not
    logged, or where several metrics or filters leave a choice.
    """
    found: dict[str, TaskResult] = {}
    for file in _results_files(path):
        results = _load(file)
        for task in results.get("configs", {}):
            if not task.isprintable() or "/" in task or "\\" in task or len(task) > LONGEST_TASK:
                raise FileFormatError(f"not a task's name: {_short(task)}", where=str(file))
            if task in found:
                raise UsageError(
                    f"task {task} was evaluated twice in this folder: {found[task].file.name} and {file.name}",
                    where=str(path),
                    hint="name the results_*.json itself in the listing",
                )
            try:
                found[task] = _task(file, task, results, metric, chosen_filter)
            except RecursionError as error:
                raise FileFormatError(f"task {task}: nested too deeply", where=str(file)) from error
    if not found:
        raise FileFormatError("the results hold no task", where=str(path))
    return found


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return what differs between two flat settings, as `key: value and value`."""
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    return [f"{key}: {_short(one.get(key, 'not set'))} and {_short(other.get(key, 'not set'))}" for key in keys]


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."


def _results_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # lm-eval writes into a subfolder named after the model
    files = sorted([*path.glob("results_*.json"), *path.glob("*/results_*.json")])
    if not files:
        raise NotFoundError(
            "no lm-eval results (results_*.json) here",
            where=str(path),
            hint="lm_eval run --output_path FOLDER --log_samples ...",
        )
    return files


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a measurement")


def _load(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise FileFormatError(f"not valid JSON: {error}", where=str(file)) from error
    if not isinstance(found, dict) or not isinstance(found.get("configs"), dict):
        raise FileFormatError("not a results file of lm-eval: no `configs`", where=str(file))
    return found


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in AMOUNTS:
                yield from _flat(part, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for number, part in enumerate(value):
            yield from _flat(part, f"{prefix}[{number}]")
    else:
        yield prefix, ADDRESS.sub("", json.dumps(value, sort_keys=True, default=str))


def _task(file: Path, task: str, results: dict[str, Any], metric: str | None, chosen_filter: str | None) -> TaskResult:
    config = results["configs"][task]
    date = file.stem.removeprefix("results_")
    samples = file.with_name(f"samples_{task}_{date}.jsonl")
    if not samples.is_file():
        raise UsageError(
            f"no samples of task {task} beside its results",
            where=str(samples),
            hint="run lm-eval again with --log_samples: the verdict is made from single problems",
        )
    asked = {key: value for key, value in _flat(config) if TOP_KEY_ENDS.split(key)[0] not in MACHINE_KEYS}
    for key, name in (("versions", "version"), ("n-shot", "n-shot")):
        table = results.get(key)
        asked[name] = json.dumps(table.get(task) if isinstance(table, dict) else None)
    prompting = {key: json.dumps(results[key]) for key in WHOLE_RUN if key in results}
    prompting |= {f"model_args.{key}": value for key, value in _model_arguments(results)}
    scores: dict[str, float] = {}
    prompts: dict[str, str] = {}
    copies: dict[str, int] = {}
    for number, row in _lines(samples):
        where = f"{samples}:{number}"
        kind = row.get("filter", "none")
        if chosen_filter is not None and kind != chosen_filter:
            continue
        value = _score(row, metric, where)
        identity = str(row.get("doc_hash") or _digest(row.get("doc")))
        copy = copies.setdefault(f"{kind}/{identity}", 0)
        copies[f"{kind}/{identity}"] += 1
        key = f"{identity}/{copy}"
        if key in scores:
            raise UsageError(
                f"task {task} was scored through several filters, {kind!r} among them",
                where=where,
                hint="choose one in the listing: filter: NAME",
            )
        scores[key] = value
        prompts[key] = str(row.get("prompt_hash") or _digest(row.get("arguments")))
        if len(scores) == 1:
            asked |= {f"sampling.{k}": v for k, v in _generation(row)}
    if not scores:
        said = f" with filter {chosen_filter!r}" if chosen_filter else ""
        raise UsageError(f"no samples of task {task}{said}", where=str(samples), hint="filter: NAME in the listing")
    whole = all(value in (0.0, 1.0) for value in scores.values())
    repeats = config.get("repeats") if isinstance(config, dict) else None
    return TaskResult(
        file=file,
        scores=scores,
        prompts=prompts,
        asked=asked,
        prompting=prompting,
        repeats=1 if whole or not isinstance(repeats, int) else max(1, repeats),
    )


def _model_arguments(results: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the decoding arguments given to lm-eval's model, from `a=1,b=2` or a mapping."""
    config = results.get("config")
    given = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(given, str):
        given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
    if isinstance(given, dict):
        for key, value in given.items():
            if key in DECODING_ARGUMENTS:
                yield str(key), str(value)


def _lines(samples: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with samples.open(encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line, parse_constant=_refuse)
                except (ValueError, RecursionError) as error:
                    raise FileFormatError(f"not valid JSON: {error}", where=f"{samples}:{number}") from error
                if not isinstance(row, dict):
                    raise FileFormatError("not a sample of lm-eval", where=f"{samples}:{number}")
                yield number, row
        except UnicodeDecodeError as error:
            raise FileFormatError(f"not a text file: {error}", where=str(samples)) from error


OURS = "avg_at_k"
"""What our own tasks decide by; pass@k and maj@k stand beside it."""


def _score(row: dict[str, Any], metric: str | None, where: str) -> float:
    given = row.get("metrics")
    names = [str(name) for name in given] if isinstance(given, list) else []
    if metric is None and OURS in names:
        metric = OURS
    if metric is None and len(names) != 1:
        raise UsageError(
            f"lm-eval scored {len(names)} metrics: {_short(', '.join(names)) or 'none'}",
            where=where,
            hint="choose one in the listing: metric: NAME",
        )
    chosen = metric or names[0]
    value = row.get(chosen)
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise FileFormatError(
            f"metric {chosen!r} is {_short(json.dumps(value, default=str))}, not a share between 0 and 1",
            where=where,
            hint=f"metrics here: {_short(', '.join(names)) or 'none'}",
        )
    return float(value)


def _generation(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the generation settings that the first request was really sent with."""
    first = row.get("arguments")
    if isinstance(first, dict):
        first = first.get("gen_args_0")
    if isinstance(first, dict):
        yield from _flat(first.get("arg_1"))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
