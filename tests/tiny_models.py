"""Tiny models of the real architectures, with random weights, as they would lie on the hub."""

import functools
from pathlib import Path

from tests.hub_server import Repository

TEXTS = [
    "A conversation between User and Assistant. The User asks a question, and the Assistant solves it. The Assistant "
    "first thinks about the reasoning process in the mind and then provides the User with the answer. The reasoning "
    "process is enclosed within <think> </think> and answer is enclosed within <answer> </answer> tags, respectively, "
    "i.e., <think> reasoning process here </think> <answer> answer here </answer>. User: You must put your answer "
    "inside <answer> </answer> tags, i.e., <answer> answer here </answer>. And your final answer will be extracted "
    "automatically by the \\boxed{} tag.\nThis is the problem:\n\nAssistant: <think> Please reason step by step, and "
    "put your final answer within \\boxed{}. ",
    "Compute $12 + 34$. What is the value of $x$? Give the final value within \\boxed{}. 0 1 2 3 4 5 6 7 8 9 user",
] * 4

# architecture: (its own tokens: bos, eos, others), arguments of its configuration
ARCHITECTURES: dict[str, tuple[str | None, str, list[str]]] = {
    "Qwen2": (None, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"]),
    "Llama": (
        "<|begin_of_text|>",
        "<|eot_id|>",
        ["<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>", "<|eom_id|>"],
    ),
    "Olmo2": ("<|endoftext|>", "<|endoftext|>", ["<|pad|>"]),
    "Gemma2": ("<bos>", "<eos>", ["<pad>", "<start_of_turn>", "<end_of_turn>"]),
    "Mistral": ("<s>", "</s>", ["[INST]", "[/INST]"]),
}


def tokenizer(bos: str | None, eos: str, others: list[str], *, adds_bos: bool = True):
    """A byte-level BPE tokenizer that, as those of Llama, Gemma and Mistral, puts its bos before a bare text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys([*([bos] if bos else []), eos, *others]))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXTS, trainer)
    if bos and adds_bos:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    pad = next((token for token in others if "pad" in token), None)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=bos, eos_token=eos, pad_token=pad)


@functools.cache
def repository(architecture: str) -> Repository:
    """The files of a tiny model, and a generation_config whose sampling must not be believed."""
    import tempfile

    import torch
    import transformers

    bos, eos, others = ARCHITECTURES[architecture]
    own = tokenizer(bos, eos, others)
    more = {"head_dim": 16} if architecture == "Gemma2" else {}
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=len(own),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
        **more,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{architecture}ForCausalLM")(config)
    model.generation_config.repetition_penalty = 1.3
    model.generation_config.do_sample = True
    model.generation_config.temperature = 0.7
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        own.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    files |= {"README.md": b"# tiny", "pytorch_model.bin": b"never read", "modeling_tiny.py": b"raise SystemExit"}
    return Repository(files, parameters=sum(p.numel() for p in model.parameters()))


CARD = """schema_version: 1
name: tiny-{low}
family: tiny-{low}
lineage: tiny-{low}
architecture: {architecture}ForCausalLM
parameters: {parameters}
context_tokens: 1024
licence: null
weights: {{source: hub, repository: tiny/{architecture}}}
{prompt}
"""
PROMPTS = {
    "Qwen2": 'template: chatml\nsystem: "You are a helpful assistant."\nend_tokens: ["<|im_end|>"]',
    "Llama": 'template: llama-3\nbos_token: "<|begin_of_text|>"\nend_tokens: ["<|end_of_text|>"]',
    "Olmo2": 'template: r1\nbos_token: "<|endoftext|>"\nstop: ["</answer>", "e"]',
    "Gemma2": 'template: gemma\nbos_token: "<bos>"\nend_tokens: ["<end_of_turn>"]',
    "Mistral": 'template: mistral\nbos_token: "<s>"\ninstruction: "\\n\\nPut your final answer within \\\\boxed{}."',
}


def write_card(folder: Path, architecture: str) -> Path:
    """Write the card of a tiny model."""
    path = folder / f"{architecture.lower()}.yaml"
    text = CARD.format(
        low=architecture.lower(),
        architecture=architecture,
        parameters=repository(architecture).parameters,
        prompt=PROMPTS[architecture],
    )
    path.write_text(text, encoding="utf-8")
    return path
