"""CPU-seconds of a training stage against the same training with bare TRL, in alternating pairs.

    python benchmarks/training_stage.py [PAIRS]

Both train micro-qwen-a on the ground-truth reward, forked from a process that has imported everything: a stage writes
rollouts, health, weights at half and its record, and replays and tries its reward; the other is GRPOTrainer with the
same arguments, the same problems in the same order and a reward of one regular expression. The weights of both ends
must be the same, bit for bit, or the comparison is of different work. Prints the median of the pairs' ratios.
"""

import importlib
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"})

from rlvr_bench import catalog
from rlvr_bench.backends import PRELOAD, models, trl
from rlvr_bench.backends.data import training_pool
from rlvr_bench.cli.inputs import plan_of
from rlvr_bench.engine.worker import run_stage
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest, write_model
from rlvr_bench.schema.plan import Stage, TrainInputs

ANSWER = re.compile(r"(?:\\boxed\{|answer is )(-?\d+)")


def bare(inputs: TrainInputs, folder: Path) -> None:
    """Train with TRL alone, as its documentation shows, and save the weights."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions, answer, **_):
        found = [ANSWER.findall(one[0]["content"]) for one in completions]
        return [float(bool(f) and f[-1] == a) for f, a in zip(found, answer, strict=True)]

    s = inputs.settings
    tokenizer = models.load_tokenizer(inputs.card)
    pool = training_pool(inputs, None).problems
    order = trl.training_order(pool, count=s.steps * s.prompts_per_step, seed=inputs.seed)
    rows = [{"prompt": [{"role": "user", "content": p.problem}], "answer": p.answer} for p in order]
    torch.manual_seed(inputs.seed)
    model = models.load_model(inputs.card, training=True)
    config = GRPOConfig(
        output_dir=str(folder / "trainer"), logging_steps=1, save_strategy="no", disable_tqdm=True, report_to=[],
        seed=inputs.seed, use_cpu=True, bf16=False, gradient_checkpointing=False, shuffle_dataset=False,
        **trl.grpo_arguments(s),
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model, reward_funcs=reward, args=config, processing_class=tokenizer, train_dataset=Dataset.from_list(rows)
    )
    trainer.train()
    model.save_pretrained(folder / layout.checkpoint())


def cpu_seconds(work: Callable[[], object], log: Path) -> float:
    """Do some work in a forked process and return its user and system seconds."""
    pid = os.fork()
    if pid == 0:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        models.prepare_process()
        work()
        os._exit(0)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(log.read_text()[-2000:])
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for name in PRELOAD:  # what the worker server imports before it forks
        importlib.import_module(name)
    plan = plan_of("ground-truth", "micro", models=["micro-qwen-a"], seeds=1).plan
    stage: Stage = next(s for s in plan.stages if s.kind == "train" and s.cell.arm == "ground-truth")
    assert isinstance(stage.inputs, TrainInputs) and catalog.load_suite("micro")
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for i in range(pairs + 1):
            mine, theirs = Path(name) / f"run-{i}" / "stages" / stage.id, Path(name) / f"bare-{i}"
            for folder in (mine, theirs):
                folder.mkdir(parents=True)
            write_model(mine / layout.STAGE, stage)
            todo = [
                lambda m=mine: cpu_seconds(lambda: run_stage(m), Path(name) / "log-ours"),
                lambda t=theirs: cpu_seconds(lambda: bare(stage.inputs, t), Path(name) / "log-bare"),
            ]
            spent = [0.0, 0.0]
            for which in ((0, 1), (1, 0))[i % 2]:
                spent[which] = todo[which]()
            ends = {file_digest(f / layout.checkpoint() / layout.WEIGHTS) for f in (mine, theirs)}
            same = "the same weights" if len(ends) == 1 else "OTHER WEIGHTS"
            if i == 0:
                print(f"once to warm up: {same}")
                continue
            ratios.append(spent[0] / spent[1])
            print(f"stage {spent[0]:.2f} CPU-s, bare {spent[1]:.2f}: {ratios[-1]:.3f}, {same}", flush=True)
    print(f"median of {pairs} pairs: {100 * (statistics.median(ratios) - 1):+.1f} % CPU-seconds")


if __name__ == "__main__":
    main()
