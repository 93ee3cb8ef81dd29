"""What fits on which GPUs: the effective batch stays, groups stay whole, what cannot fit is refused with what would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlvr_bench import catalog
from rlvr_bench.errors import EnvironmentFaultError
from rlvr_bench.planning.fit import BUSY_TOKENS, USABLE, Gpu, Shape, choices, fit, peak_bytes, shape_of, state_bytes
from rlvr_bench.schema.suite import Lora

H100, A10 = Gpu("H100", 80e9), Gpu("A10", 24e9)
REAL = ["small", "standard"]
SETTINGS = catalog.load_suite("small").training.model_copy(update={"sampling_batch": None})


@pytest.mark.parametrize("generation", ["transformers", "vllm"])
@pytest.mark.parametrize("suite", REAL)
def test_every_model_of_the_suites_fits_on_a_node_of_80_gb(suite, generation) -> None:
    made = catalog.load_suite(suite)
    for name in made.models:
        card = catalog.load_card(name)
        found = fit(card, made.training, H100, 8, generation=generation)
        s = made.training
        assert (
            found.micro_batch * found.accumulation * found.ranks * s.updates_per_step
            == s.prompts_per_step * s.group_size
        )
        assert s.prompts_per_step % found.ranks == 0
        assert found.sharding == ("full" if found.ranks > 1 else "none")
        assert found.peak_bytes <= USABLE * H100.memory
        assert (found.vllm_share is not None) is (generation == "vllm")
        assert ("vLLM" in found.words(H100)) is (generation == "vllm")
        if card.parameters > 5e9:
            assert found.ranks > 1  # 16 bytes a parameter do not fit on one


@given(
    parameters=st.integers(10**8, 4 * 10**10),
    prompts=st.sampled_from([8, 16, 32, 96, 128]),
    group=st.sampled_from([4, 8, 16]),
    updates=st.sampled_from([1, 2, 4, 8]),
    memory=st.sampled_from([16e9, 24e9, 40e9, 80e9, 141e9]),
    available=st.integers(1, 16),
    generation=st.sampled_from(["vllm", "transformers"]),
)
def test_the_effective_batch_and_whole_groups_always(
    parameters, prompts, group, updates, memory, available, generation
):
    settings = SETTINGS.model_copy(
        update={"prompts_per_step": prompts, "group_size": group, "updates_per_step": updates, "micro_batch": None}
    )
    card = catalog.load_card("qwen2.5-1.5b").model_copy(update={"parameters": parameters})
    gpu = Gpu("G", memory)
    try:
        found = fit(card, settings, gpu, available, generation=generation)
    except EnvironmentFaultError as refused:
        assert "does not fit" in refused.message and "ranks that split no group" in str(refused.hint)
        return
    assert found.ranks <= available and prompts % found.ranks == 0
    assert found.micro_batch * found.accumulation * found.ranks == prompts * group // updates
    assert (prompts * group // found.ranks) % group == 0
    assert found.peak_bytes <= USABLE * memory


def test_what_cannot_fit_is_refused_with_what_would() -> None:
    card = catalog.load_card("qwen2.5-7b")
    with pytest.raises(
        EnvironmentFaultError, match=r"122 GB of weights, gradients and optimizer .* 1 x A10 with 24 GB"
    ) as caught:
        fit(card, SETTINGS, A10, 1, generation="transformers")
    assert "would fit: " in str(caught.value.hint) and "GPUs of 80 GB" in str(caught.value.hint)
    assert "lora" in str(caught.value.hint)
    lora = SETTINGS.model_copy(update={"lora": Lora(rank=16, alpha=32)})
    assert state_bytes(shape_of(card), lora) < 0.3 * state_bytes(shape_of(card), SETTINGS)
    assert fit(card, lora, Gpu("A100", 80e9), 1, generation="transformers").ranks == 1


def test_more_of_anything_is_more_memory() -> None:
    shape = Shape(1_500_000_000, 28, 1_536, 152_000, 28_672.0, 130_000.0)
    given = {"ranks": 1, "micro_batch": 4, "sampling_batch": 16, "vllm_share": None, "gpu": H100, "checkpointing": True}
    base = peak_bytes(shape, SETTINGS, **given)
    assert peak_bytes(shape, SETTINGS, **{**given, "micro_batch": 64}) > base
    assert peak_bytes(shape, SETTINGS, **{**given, "sampling_batch": 4096}) > base
    assert peak_bytes(shape, SETTINGS, **{**given, "ranks": 4}) < base
    assert peak_bytes(shape, SETTINGS, **{**given, "checkpointing": False}) > base
    assert peak_bytes(shape, SETTINGS, **{**given, "vllm_share": 0.2}) > base + 15e9
    assert peak_bytes(shape, SETTINGS.model_copy(update={"optimizer": "sgd"}), **given) < base
    assert base > state_bytes(shape, SETTINGS) == 24e9


def test_only_numbers_of_ranks_that_divide_prompts_and_updates() -> None:
    assert choices(SETTINGS, 8) == [1, 2, 4, 8]
    assert choices(SETTINGS.model_copy(update={"prompts_per_step": 12, "group_size": 4, "updates_per_step": 1}), 8) == [
        1,
        2,
        3,
        4,
        6,
    ]


def test_after_out_of_memory_the_batch_is_half_of_what_was_tried() -> None:
    """The suite's own micro-batch says nothing of what a fit chose."""
    from rlvr_bench.engine.care import smaller
    from tests.fakes import planned

    train = next(s.inputs for s in planned("random").stages if s.kind == "train")
    card, settings = catalog.load_card("qwen2.5-1.5b"), catalog.load_suite("small").training
    first = fit(card, settings, H100, 1, generation="transformers")
    inputs = train.model_copy(update={"card": card, "settings": settings})
    half = smaller(inputs, {"micro_batch": first.micro_batch, "sampling_batch": first.sampling_batch})
    assert half == {"micro_batch": first.micro_batch // 2, "sampling_batch": first.sampling_batch // 2}
    again = fit(card, settings.model_copy(update=half), H100, 1, generation="transformers", most=half["micro_batch"])
    assert (again.micro_batch, again.sampling_batch) == (half["micro_batch"], half["sampling_batch"])
    assert again.micro_batch * again.accumulation == first.micro_batch * first.accumulation


def test_layers_are_recomputed_only_where_they_must_be() -> None:
    card, settings = catalog.load_card("qwen2.5-1.5b"), catalog.load_suite("standard").training
    length = settings.max_prompt_tokens + settings.max_completion_tokens
    whole = fit(card, settings, H100, 1, generation="transformers")
    assert not whole.checkpointing and "nothing recomputed" in whole.words(H100)
    assert whole.micro_batch * length >= BUSY_TOKENS
    assert fit(card, settings, Gpu("40 GB", 40e9), 1, generation="transformers").checkpointing
    again = fit(card, settings, H100, 1, generation="transformers", most=whole.micro_batch // 2)  # it ran out of memory
    assert again.checkpointing and again.micro_batch == whole.micro_batch // 2
    assert again.peak_bytes < whole.peak_bytes


def test_what_was_decided_already_is_tried_anyhow() -> None:
    card = catalog.load_card("qwen2.5-7b")
    found = fit(card, SETTINGS, A10, 1, generation="vllm", anyhow=True)
    assert (found.ranks, found.micro_batch) == (1, 1) and 0 < found.vllm_share <= 0.95


def test_factors_are_never_sharded() -> None:
    settings = SETTINGS.model_copy(update={"lora": Lora(rank=16, alpha=32)})
    assert fit(catalog.load_card("qwen2.5-1.5b"), settings, H100, 4, generation="vllm", ranks=4).sharding == "none"
