"""The outside world: torch, transformers, TRL, lm-eval and datasets, imported inside functions only."""

PRELOAD = (
    "torch",
    "transformers.models.llama.modeling_llama",
    "transformers.models.olmo2.modeling_olmo2",
    "transformers.models.qwen2.modeling_qwen2",
    "trl.trainer.grpo_config",
    "trl.trainer.grpo_trainer",
    "datasets",
    "pyarrow.parquet",
    "lm_eval.evaluator",
    "lm_eval.models.huggingface",
    "rlvr_bench.engine.worker",
    "rlvr_bench.backends.adopting",
    "rlvr_bench.backends.exposure",
    "rlvr_bench.backends.labels",
    "rlvr_bench.backends.lm_eval",
    "rlvr_bench.backends.placing",
    "rlvr_bench.backends.trl",
)
"""What the worker server imports once, before it forks the stages of a CPU run."""
