"""What an update holds, against what planning.fit foretells: the allocations of the real trainer, on a CPU under the
autocast and with the fused attention that it has on a GPU."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from rlvr_bench import catalog
from rlvr_bench.backends import models, trl
from rlvr_bench.planning.fit import Fit, shape_by, update_bytes
from rlvr_bench.schema.plan import TrainInputs
from rlvr_bench.schema.suite import Lora, ProblemSet
from tests.tiny_models import ARCHITECTURES, tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")]


def written(folder: Path, case: "Case") -> int:
    """Write a model of random weights; return its parameters."""
    import torch
    import transformers

    own = tokenizer(*ARCHITECTURES["Qwen2" if case.architecture == "Qwen3" else case.architecture])
    config = getattr(transformers, f"{case.architecture}Config")(
        vocab_size=len(own), hidden_size=case.width, intermediate_size=case.inner, num_hidden_layers=case.layers,
        num_attention_heads=case.heads, num_key_value_heads=case.heads // 4, max_position_embeddings=32_768,
        eos_token_id=own.eos_token_id, pad_token_id=None, bos_token_id=None, tie_word_embeddings=True,
        head_dim=case.size,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{case.architecture}ForCausalLM")(config)
    model.save_pretrained(folder)
    own.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def trained(folder: Path, card, case: "Case", monkeypatch) -> tuple[TrainInputs, int, float]:
    """Train one update of two passes; return its inputs, the tokens of a sequence, and the bytes that the second pass
    allocates at its peak, when there are gradients already."""
    import trl as library
    from torch.profiler import ProfilerActivity, profile

    settings = catalog.load_suite("small").training.model_copy(
        update={
            "steps": 1,
            "prompts_per_step": 1,
            "group_size": 2 * case.micro_batch,
            "updates_per_step": 1,
            "max_prompt_tokens": 256,
            "max_completion_tokens": 384,
            "micro_batch": None,
            "sampling_batch": None,
            "lora": Lora(rank=16, alpha=32) if case.lora else None,
        }
    )
    inputs = TrainInputs(
        card=card,
        device="cpu",
        rewards=catalog.load_method("random").rewards,
        labels=False,
        problems=(ProblemSet(source="micro-arithmetic", count=20, arguments={"split": "dev", "seed": 1}),),
        settings=settings,
        seed=1,
    )
    shapes, peaks = [], []
    config, passed, scored = (
        library.GRPOConfig,
        library.GRPOTrainer.training_step,
        library.GRPOTrainer._get_per_token_logps_and_entropies,
    )

    def watched(*given, **named):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            loss = passed(*given, **named)
        changes = sorted(
            (event.start_ns(), event.nbytes())
            for event in seen.profiler.kineto_results.events()
            if event.name() == "[memory]"
        )
        live = peak = 0
        for _, change in changes:
            live += change
            peak = max(peak, live)
        peaks.append(peak)
        return loss

    def counted(self, model, ids, *given, **named):
        shapes.append(tuple(ids.shape))
        return scored(self, model, ids, *given, **named)

    own = models.attention
    monkeypatch.setattr(models, "attention", lambda card, device: own(card, "cuda"))
    monkeypatch.setattr(models, "check_weights", lambda card: folder)
    monkeypatch.setattr(library, "GRPOConfig", lambda **named: config(**{**named, "bf16": True}))
    monkeypatch.setattr(library.GRPOTrainer, "training_step", watched)
    monkeypatch.setattr(library.GRPOTrainer, "_get_per_token_logps_and_entropies", counted)
    (folder / "out").mkdir()
    fit = Fit(
        ranks=1, micro_batch=case.micro_batch, accumulation=2, sampling_batch=2 * case.micro_batch, sharding="none",
        checkpointing=case.checkpointing, generation="transformers", peak_bytes=0,
    )  # fmt: skip
    trl.train(inputs, folder / "out", fit=fit)
    assert len(peaks) == 2
    (length,) = {length for count, length in shapes if count == case.micro_batch}
    return inputs, length, peaks[1]


@dataclass(frozen=True)
class Case:
    architecture: str
    layers: int
    width: int
    inner: int
    micro_batch: int
    checkpointing: bool
    lora: bool = False
    heads: int = 8
    size: int = 64


CASES = [
    Case("Qwen2", 8, 512, 2_752, 2, True),  # the peak is where log-probabilities are computed
    Case("Qwen2", 2, 1_024, 5_504, 4, True, heads=16),  # the backward of a layer
    Case("Llama", 12, 512, 1_792, 4, True),
    Case("Qwen2", 4, 512, 2_752, 4, False),
    Case("Llama", 8, 512, 1_792, 2, False),
    Case("Olmo2", 8, 512, 1_408, 2, False),
    Case("Qwen3", 6, 512, 1_536, 2, False, size=128),  # heads twice as wide as the model
    Case("Gemma2", 4, 512, 2_048, 2, False),  # attention that is not fused
    Case("Gemma2", 4, 512, 2_048, 4, True),
    Case("Gemma2", 4, 512, 2_048, 2, False, heads=32, size=16),  # as many scores as long sequences have
    Case("Gemma2", 3, 512, 2_048, 2, True, heads=32, size=16),
    Case("Qwen2", 4, 512, 2_752, 4, False, lora=True),
    Case("Qwen2", 2, 1_024, 5_504, 4, True, lora=True, heads=16),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_update_holds_what_was_foretold(case: Case, tmp_path: Path, monkeypatch) -> None:
    parameters = written(tmp_path, case)
    card = catalog.load_card("qwen2.5-1.5b").model_copy(
        update={
            "parameters": parameters,
            "architecture": f"{case.architecture}ForCausalLM",
            "stop": (),
            "end_tokens": (),
        }
    )
    inputs, length, peak = trained(tmp_path, card, case, monkeypatch)
    shape = shape_by(card, json.loads((tmp_path / "config.json").read_text()))
    settings = inputs.settings.model_copy(update={"max_prompt_tokens": length, "max_completion_tokens": 0})
    foretold = update_bytes(shape, settings, ranks=1, micro_batch=case.micro_batch, checkpointing=case.checkpointing)
    print(f"{case}: {peak / 1e6:.0f} MB, foretold {foretold / 1e6:.0f} MB, {length} tokens")
    assert foretold == pytest.approx(peak, rel=0.12)
