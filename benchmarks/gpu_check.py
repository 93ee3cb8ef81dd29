"""What has to be seen on a GPU, in one script of minutes; tables are printed last.

    python benchmarks/gpu_check.py            # on a GPU
    python benchmarks/gpu_check.py --tiny     # the same code on a CPU with tiny models: shows that the script runs

1. `micro` on the GPU: the verdict, and the wall time.
2. Models shaped as 0.5B, 1.5B (all weights) and 7B (LoRA) with random weights: peak memory and seconds a step against
   what `planning.fit` and the plan's table foretell, and tokens a second of our training against bare TRL.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPES = {
    "0.5B": {
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "tie_word_embeddings": True,
    },
    "1.5B": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "tie_word_embeddings": True,
    },
    "7B, LoRA": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "tie_word_embeddings": False,
    },
}
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "tie_word_embeddings": True,
}
SETTINGS = {
    "steps": 3,
    "prompts_per_step": 4,
    "group_size": 8,
    "updates_per_step": 2,
    "max_prompt_tokens": 256,
    "max_completion_tokens": 256,
    "micro_batch": None,
    "sampling_batch": 32,
    "learning_rate": 1e-6,
}


def tokenizer_and_model(folder: Path, shape: dict[str, Any], vocabulary: int) -> int:
    """Write a model of random weights with a byte-level tokenizer; return its parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.tiny_models import tokenizer

    own = tokenizer(None, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"])
    config = Qwen2Config(
        vocab_size=max(vocabulary, len(own)), max_position_embeddings=32_768, eos_token_id=own.eos_token_id, **shape
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2ForCausalLM(config).to(torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    model.save_pretrained(folder, max_shard_size="10TB")
    own.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def inputs_of(parameters: int, device: str, *, lora: bool, tiny: bool):
    from rlvr_bench import catalog
    from rlvr_bench.schema.plan import TrainInputs
    from rlvr_bench.schema.suite import Lora, ProblemSet

    template = catalog.load_card("qwen2.5-1.5b")
    card = template.model_copy(
        update={
            "name": "shaped",
            "parameters": parameters,
            "architecture": "Qwen2ForCausalLM",
            "stop": (),
            "end_tokens": (),
        }
    )
    own = {**SETTINGS, **({"max_completion_tokens": 16} if tiny else {})}
    settings = catalog.load_suite("small").training.model_copy(
        update={**own, "lora": Lora(rank=32, alpha=64) if lora else None}
    )
    random = catalog.load_method("random")
    problems = (ProblemSet(source="micro-arithmetic", count=50, arguments={"split": "dev", "seed": 1}),)
    return TrainInputs(
        card=card, device=device, rewards=random.rewards, labels=False, problems=problems, settings=settings, seed=1
    )


def measure(folder: Path, parameters: int, device: str, *, lora: bool, tiny: bool) -> dict[str, float]:
    """Train the shaped model with our code and with bare TRL; return what both took."""
    import torch

    from rlvr_bench.backends import models, placing, trl
    from rlvr_bench.planning.cost import GPU_SECONDS_SAMPLING, GPU_SECONDS_TRAINING
    from rlvr_bench.planning.fit import Gpu, fit

    for module in (models, placing):
        module.check_weights = lambda _card: folder
    inputs = inputs_of(parameters, device, lora=lora, tiny=tiny)
    s = inputs.settings
    memory = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else 24e9
    found = fit(
        inputs.card, s, Gpu("here", memory), 1, generation="transformers", shape=placing.shape_here(inputs.card)
    )
    once = inputs.model_copy(update={"settings": s.model_copy(update={"steps": 1})})
    bare(once, folder, found)  # kernels are chosen and compiled in the first steps
    target = folder / "ours"
    target.mkdir()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    done = trl.train(inputs, target, fit=found)
    ours = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    tokens = sum(step.completion_tokens for step in done.steps) * s.prompts_per_step * s.group_size
    bare_seconds = bare(inputs, folder, found)
    work = s.prompts_per_step * s.group_size * s.max_completion_tokens * parameters / 1e9
    foretold = work * (GPU_SECONDS_SAMPLING + s.passes * (GPU_SECONDS_TRAINING - GPU_SECONDS_SAMPLING))
    return {
        "peak GB": peak / 1e9,
        "foretold GB": found.peak_bytes / 1e9,
        "micro-batch": found.micro_batch,
        "s a step": ours / s.steps,
        "foretold s (A100, vLLM)": foretold,
        "tokens/s": tokens / ours,
        "bare TRL tokens/s": tokens / bare_seconds,
        "ratio": bare_seconds / ours,
    }


def bare(inputs, folder: Path, found) -> float:
    """Train with GRPOTrainer alone, with the same arguments, and return the seconds."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from rlvr_bench.backends import models, trl
    from rlvr_bench.backends.data import training_pool
    from rlvr_bench.backends.fitted import fitted, lora_arguments

    s = fitted(inputs.settings, found)
    started = time.perf_counter()
    tokenizer = models.load_tokenizer(inputs.card)
    model = models.load_model(inputs.card, device=inputs.device, training=True)
    problems = training_pool(inputs, None).problems[: s.steps * s.prompts_per_step]
    rows = [{"prompt": [{"role": "user", "content": p.problem}]} for p in problems]
    on_gpu = inputs.device == "cuda"
    config = GRPOConfig(
        output_dir=str(folder / "bare"),
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        report_to=[],
        seed=1,
        use_cpu=not on_gpu,
        bf16=on_gpu,
        gradient_checkpointing=on_gpu and found.checkpointing,
        shuffle_dataset=False,
        **trl.grpo_arguments(s),
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(i % 2) for i in range(len(completions))],
        args=config,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        **lora_arguments(s.lora),
    )
    trainer.train()
    del trainer, model
    if on_gpu:
        torch.cuda.empty_cache()
    return time.perf_counter() - started


def micro(folder: Path, device: str, tiny: bool) -> str:
    """Validate python on micro, on the device; return the verdict line and the seconds."""
    from rlvr_bench import catalog

    suite = catalog.load_suite("micro").model_copy(update={"device": device, "name": "micro-here"})
    path = folder / "micro-here.yaml"
    path.write_text(json.dumps(suite.model_dump(mode="json")))
    words = [sys.executable, "-c", "from rlvr_bench.cli.app import main; main()", "validate", "--method", "python"]
    words += ["--suite", str(path), "--runs", str(folder / "runs"), "-q", "--seeds", "1"]
    words += ["--models", "micro-qwen-a", "--models", "micro-olmo-a", *(["--limit", "30"] if tiny else [])]
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True)
    said = (done.stdout or done.stderr).strip().replace("\n", " ")
    return f"micro on {device}: {said[:200]} ({time.perf_counter() - started:.0f} s, exit {done.returncode})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    import torch

    device = "cpu" if given.tiny else "cuda"
    os.environ["RLVR_BENCH_GENERATION"] = "transformers"
    lines = [f"torch {torch.__version__}, {torch.cuda.get_device_name(0) if device == 'cuda' else 'no GPU'}"]
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        lines.append(micro(Path(name), device, given.tiny))
        for label, shape in ({"tiny": TINY} if given.tiny else SHAPES).items():
            folder = Path(name) / label.replace(" ", "")
            folder.mkdir()
            parameters = tokenizer_and_model(folder, shape, 700 if given.tiny else 151_936)
            try:
                rows[label] = measure(folder, parameters, device, lora="LoRA" in label, tiny=given.tiny)
            except Exception as error:
                lines.append(f"{label}: {type(error).__name__}: {str(error)[:300]}")
    print("\n".join(lines))
    names = list(dict.fromkeys(key for row in rows.values() for key in row))
    print("| | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for label, row in rows.items():
        print(f"| {label} | " + " | ".join(f"{row[key]:.3g}" for key in names) + " |")


if __name__ == "__main__":
    main()
