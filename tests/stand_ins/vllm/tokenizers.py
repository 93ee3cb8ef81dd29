def get_tokenizer(name, **_):
    from transformers import PreTrainedTokenizerFast

    from rlvr_bench.backends.micro import TOKENIZER

    return PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
