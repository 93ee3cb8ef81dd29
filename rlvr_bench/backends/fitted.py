"""How a training runs on what there is: batches of a fit, vLLM beside TRL, low-rank factors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rlvr_bench.planning.fit import Fit
from rlvr_bench.schema.base import seed_from
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.record import Ran
from rlvr_bench.schema.suite import Lora, TrainingSettings

CORRECTION = "sampling/importance_sampling_ratio"
"""TRL's metric of the ratio between trainer and vLLM, which it corrects for."""


def fitted(settings: TrainingSettings, fit: Fit | None) -> TrainingSettings:
    """Return settings with the batches of a fit; the effective batch stays."""
    if fit is None:
        return settings
    return settings.model_copy(update={"micro_batch": fit.micro_batch, "sampling_batch": fit.sampling_batch})


def ran(fit: Fit, ratios: Sequence[tuple[float, float, float]]) -> Ran:
    """Return what a record says of a fit; `ratios` are (min, mean, max) of the correction at each update."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    lows, means, highs = zip(*ratios, strict=True) if ratios else ((), (), ())
    correction = (min(lows), sum(means) / len(means), max(highs)) if ratios else None
    return Ran(
        **{name: value for name, value in fit.model_dump().items() if name in Ran.model_fields},
        correction=correction,
        gpu=gpu,
    )


def sharded_precision() -> Any:
    """Return in what FSDP keeps what is used on a GPU: weights in bfloat16, sums over ranks and buffers in float32.

    Accelerate's own choice has buffers in bfloat16 too, where rotary frequencies are wrong by radians after thousands
    of tokens.
    """
    import torch
    from torch.distributed.fsdp import MixedPrecision

    return MixedPrecision(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, buffer_dtype=torch.float32)


def vllm_arguments(fit: Fit, inputs: TrainInputs, ends: Sequence[int]) -> dict[str, Any]:
    """Return TRL's arguments for vLLM on the same GPUs; `ends` are the ids of the tokens that end an answer, which vLLM
    would otherwise take from the model's own files.

    The correction for what vLLM samples otherwise than the trainer is held fixed over models: its mode masks sequences,
    and more of them where kernels differ more, so its ratios are logged and recorded.
    """
    s = inputs.settings
    stops: dict[str, Any] = {"stop_token_ids": list(ends)}
    if inputs.card.stop:
        stops |= {"stop": list(inputs.card.stop), "include_stop_str_in_output": True}
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": fit.vllm_share,
        "vllm_max_model_length": s.max_prompt_tokens + s.max_completion_tokens,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_mask",
        "vllm_importance_sampling_clip_max": 3.0,
        "generation_kwargs": stops,
    }


@contextmanager
def engine_seeded(fit: Fit | None, seed: int, step: int) -> Iterator[None]:
    """Let vLLM's engine draw by the run's seed: TRL gives it the number of the rank, so that all seeds draw alike.

    `step` is the phase that a training goes on from: it does not draw again what it drew before.
    """
    if fit is None or fit.generation != "vllm":
        yield
        return
    from trl.generation import vllm_generation

    own = vllm_generation.LLM

    def seeded(*args: Any, **kwargs: Any) -> Any:
        kwargs["seed"] = seed_from("engine", seed, step, kwargs.get("seed", 0)) % 2**31
        return own(*args, **kwargs)

    vllm_generation.LLM = seeded
    try:
        yield
    finally:
        vllm_generation.LLM = own


def lora_arguments(lora: Lora | None) -> dict[str, Any]:
    """Return TRL's argument for low-rank factors. Raises EnvironmentFaultError where peft is not installed."""
    if lora is None:
        return {}
    from importlib.util import find_spec

    from rlvr_bench.errors import EnvironmentFaultError

    if find_spec("peft") is None:
        raise EnvironmentFaultError(
            "the suite trains with lora, and peft is not installed", hint="pip install 'rlvr-bench[lora]'"
        )
    from peft import LoraConfig

    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return {"peft_config": config}


def merged(model: Any, dtype: Any = None) -> dict[str, Any]:
    """Return whole weights of a model with low-rank factors, under the names of its base, on the CPU, one layer after
    another; the model is not changed.

    Merging in place and taking it back would change the last bits of what is still trained.
    """
    factors = {
        name.removeprefix("base_model.model."): module
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight") and hasattr(module, "base_layer")
    }
    found = {}
    for name, value in model.state_dict().items():
        if "lora_" in name:
            continue
        plain = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        layer, _, kind = plain.rpartition(".")
        whole = value
        if kind == "weight" and layer in factors:
            whole = value + factors[layer].get_delta_weight("default").to(value.dtype)
        found[plain] = whole.to("cpu", dtype or whole.dtype)
    return found
