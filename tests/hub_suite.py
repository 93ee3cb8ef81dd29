"""A suite of tiny hub models on a CPU, and slices shaped like the real data sets."""

import io
import json
from pathlib import Path

from rlvr_bench.backends.rows import answers_digest
from rlvr_bench.schema.problem import Problem
from tests.hub_server import Hub, Repository
from tests.tiny_models import ARCHITECTURES, repository, write_card

MATH = [
    {"problem": f"What is ${i} + {i + 1}$?", "solution": "s", "answer": f"{2 * i + 1}", "subject": "Algebra",
     "level": 1, "unique_id": f"test/algebra/{i}.json"}
    for i in range(8)
]  # fmt: skip
AMC = [
    {"id": i % 3, "problem": f"Compute ${i} \\times 2$.", "answer": float(2 * i),
     "url": f"https://artofproblemsolving.com/wiki/index.php/2022_AMC_12A_Problems/Problem_{i}"}
    for i in range(1, 6)
]  # fmt: skip
AIME = [
    {"id": i, "problem": f"Find the remainder {i}.", "answer": ["033", "070", "336^\\circ"][i],
     "url": f"https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_{i + 1}"}
    for i in range(3)
]  # fmt: skip
TRAIN = [{"problem": f"How much is {i} and {i}?", "answer": f"${2 * i}$", "solution": ""} for i in range(20)]
TRAIN += [
    {"problem": "What is $3 + 4$?", "answer": "7", "solution": ""},  # a tested problem
    {"problem": "Which is it?", "answer": "1", "solution": ""},
    {"problem": "Which is it?", "answer": "2", "solution": ""},  # two answers: left out
    {"problem": "Nobody knows.", "answer": None, "solution": ""},
    {"problem": "How much is 1 and 1?", "answer": "2", "solution": "again"},
]


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows: list[dict]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def hub() -> Hub:
    models = {
        f"tiny/{a}": Repository(dict(repository(a).files), parameters=repository(a).parameters) for a in ARCHITECTURES
    }
    datasets = {
        "tiny/math": Repository({"test.jsonl": jsonl(MATH), "README.md": b"x"}),
        "tiny/amc": Repository({"data/train-00000-of-00001.parquet": parquet(AMC)}),
        "tiny/aime": Repository({"data/train-00000-of-00001.parquet": parquet(AIME)}),
        "tiny/train": Repository({"deepscaler.json": json.dumps(TRAIN).encode()}),
    }
    return Hub(models, datasets)


def write_suite(folder: Path, *, architectures: tuple[str, ...] = tuple(ARCHITECTURES), method_steps: int = 2) -> Path:
    """Write the suite, its cards and its data sets, and return the suite's path."""
    for architecture in architectures:
        write_card(folder, architecture)
    integer = ["2", "4", "6", "8", "10"]
    sets = {
        "tiny-math": ("tiny/math", "test.jsonl", "{id: unique_id}", "text", [str(r["answer"]) for r in MATH]),
        "tiny-amc": ("tiny/amc", "data/train-*.parquet", "{id: url}", "integer", integer),
        "tiny-aime": ("tiny/aime", "data/train-*.parquet", "{id: url}", "integer", ["33", "70", "336"]),
    }
    for name, (where, files, columns, answers, golds) in sets.items():
        digest = answers_digest([Problem(id=str(i), problem="p", answer=a) for i, a in enumerate(golds)])
        (folder / f"{name}.yaml").write_text(
            f"schema_version: 1\nname: {name}\ntitle: A slice\nrole: test\nsource: made up\n"
            f"hub: {{repository: {where}, files: ['{files}']}}\ncolumns: {columns}\nanswers: {answers}\n"
            f"count: {len(golds)}\nanswers_sha256: {digest}\n"
        )
    (folder / "tiny-train.yaml").write_text(
        "schema_version: 1\nname: tiny-train\ntitle: A slice\nrole: train\nsource: made up\n"
        "hub: {repository: tiny/train, files: ['deepscaler.json']}\n"
    )
    sampling = "{temperature: 0.6, max_tokens: 12, samples_before: 2, samples_after: 2, batch_size: 16}"
    tasks = "".join(
        f"  - name: {name}\n    lm_eval_task: rlvr_{task}\n    deciding: {'true' if name == 'math' else 'false'}\n"
        f"    problems: {{source: ./tiny-{name}.yaml, count: {count}}}\n    sampling: {sampling}\n"
        for name, task, count in (("math", "math500", 8), ("amc", "amc83", 5), ("aime", "aime24", 3))
    )
    path = folder / "suite.yaml"
    path.write_text(
        "schema_version: 1\nname: tiny-hub\nversion: 1\ntitle: Tiny models from a hub\nwhy: a test\ndevice: cpu\n"
        f"models: [{', '.join(f'./{a.lower()}.yaml' for a in architectures)}]\n"
        f"seeds: [1]\ncontrol: random\nreference: ground-truth\ntasks:\n{tasks}"
        "training_problems: {source: ./tiny-train.yaml, count: 100}\n"
        f"training:\n  steps: {method_steps}\n  prompts_per_step: 2\n  group_size: 4\n  updates_per_step: 2\n"
        "  micro_batch: 2\n  sampling_batch: 4\n  learning_rate: 1.0e-4\n  clip: 0.2\n"
        "  max_prompt_tokens: 400\n  max_completion_tokens: 12\n"
    )
    return path
