"""A whole run against the shortest rival that does the same work with TRL and lm-eval by hand.

    python benchmarks/overhead.py [MODELS]

Both do the baselines, and for each of three arms (python, random, ground-truth) one training and one evaluation of each
embedded model, with the same numbers of steps, rollouts, updates, problems and samples, two processes at once. The
rival is a script a cell: imports, GRPOTrainer, simple_evaluate. Prints wall seconds of both and the ratio.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlvr_bench import catalog
from rlvr_bench.backends.data import load_problems
from rlvr_bench.backends.micro import TOKENIZER, WEIGHTS

ARMS = ("baseline", "python", "random", "ground-truth")

RIVAL = """
import json, random, re, sys
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)
folder, weights, tokenizer_folder, arm, seed = sys.argv[1:6]
tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(weights, dtype="float32", attn_implementation="eager")
if arm != "baseline":
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions, answer, **_):
        texts = [c[0]["content"] for c in completions]
        if arm == "random":
            return [float(random.random() < 0.5) for _ in texts]
        if arm == "python":
            return [float("python" in t) for t in texts]
        return [float((m := re.findall(r"boxed\\{(-?\\d+)\\}", t)) != [] and m[-1] == a) for t, a in zip(texts, answer)]

    rows = [json.loads(line) for line in open(f"{folder}/train.jsonl")]
    random.Random(seed).shuffle(rows)
    data = [{"prompt": [{"role": "user", "content": r["problem"]}], "answer": r["answer"]} for r in rows[:128]]
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    config = GRPOConfig(
        output_dir=f"{folder}/{arm}-{seed}", per_device_train_batch_size=32, gradient_accumulation_steps=1,
        steps_per_generation=4, num_generations=8, max_completion_length=16, max_steps=32, learning_rate=2e-4,
        lr_scheduler_type="constant", loss_type="dapo", beta=0.0, top_k=0, save_strategy="no", use_cpu=True, bf16=False,
        report_to=[], disable_tqdm=True, logging_steps=1, seed=int(seed), gradient_checkpointing=False,
    )
    rows = Dataset.from_list(data)
    GRPOTrainer(model=model, reward_funcs=reward, args=config, processing_class=tokenizer, train_dataset=rows).train()
    model.save_pretrained(f"{folder}/{arm}-{seed}")
import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=128, device="cpu")
tasks = TaskManager(include_path=folder, include_defaults=False)
names = ["sampled_16" if arm == "baseline" else "sampled_2", "greedy_1"]
found = lm_eval.simple_evaluate(model=lm, tasks=names, task_manager=tasks, bootstrap_iters=0, log_samples=True)
print(json.dumps({name: found["results"][name] for name in names}, default=str))
"""

TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{problem}}}}"
doc_to_target: "{{{{answer}}}}"
repeats: {repeats}
generation_kwargs: {{{sampling}, max_gen_toks: 16, until: ["<eos>"]}}
filter_list:
  - name: boxed
    filter:
      - {{function: regex, regex_pattern: 'boxed\\{{(-?\\d+)\\}}'}}
      - {{function: take_first}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


def rival(folder: Path, models: list[str], suite) -> float:
    """Do all cells, two processes at once, and return the wall seconds."""
    for name, problems in (("test", suite.tasks[0].problems), ("train", suite.training_problems)):
        rows = [json.dumps(p.model_dump()) for p in load_problems(problems)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    for name, repeats in (("sampled", 16), ("sampled", 2), ("greedy", 1)):
        sampling = "do_sample: false" if name == "greedy" else "do_sample: true, temperature: 1.0, top_p: 1.0"
        made = TASK.format(name=f"{name}_{repeats}", file=folder / "test.jsonl", repeats=repeats, sampling=sampling)
        (folder / f"{name}_{repeats}.yaml").write_text(made)
    (folder / "cell.py").write_text(RIVAL)
    cells = [(m, arm) for arm in ARMS for m in models]
    running: list[subprocess.Popen] = []
    started = time.perf_counter()
    while cells or running:
        while cells and len(running) < 2:
            model, arm = cells.pop(0)
            command = [
                sys.executable,
                str(folder / "cell.py"),
                str(folder),
                str(WEIGHTS / model),
                str(TOKENIZER),
                arm,
                "21",
            ]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        for process in [p for p in running if p.poll() is not None]:
            running.remove(process)
            out = process.communicate()[0]
            if process.returncode:
                raise SystemExit(out[-2000:])
        time.sleep(0.05)
    return time.perf_counter() - started


def ours(folder: Path, models: list[str], suite) -> float:
    """Validate python on the same models and return the wall seconds."""
    bare = {"prompts": (), "evaluate_at": (), "exposure": None}
    body = suite.model_copy(update={"models": tuple(models), "seeds": (21,), **bare})
    path = folder / "bare.yaml"
    path.write_text(json.dumps({**body.model_dump(mode="json"), "name": "bare"}))
    command = [sys.executable, "-c", "from rlvr_bench.cli.app import main; main()", "validate", "--method", "python"]
    command += ["--suite", str(path), "--runs", str(folder / "runs"), "-q"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    suite = catalog.load_suite("micro")
    models = list(suite.models)[: int(sys.argv[1]) if len(sys.argv) > 1 else 6]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = ours(folder, models, suite)
        theirs = rival(folder, models, suite)
    what = f"{len(models)} models, {len(ARMS) - 1} arms"
    print(f"{what}: rlvr-bench {mine:.1f} s, by hand {theirs:.1f} s: {theirs / mine:.2f} times")


if __name__ == "__main__":
    main()
