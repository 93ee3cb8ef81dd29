"""A stand-in with the names of vLLM that TRL 1.16 and lm-eval 0.4.13 call, on transformers and a CPU.

It shows that our side hands over what is meant (prompts, seeds, stop strings, weights, log-probabilities) and takes
back what comes. It says nothing about vLLM itself.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from vllm.sampling_params import SamplingParams

__version__ = "0.26.0"
ENGINES: list[dict[str, Any]] = []
"""What every engine was made with, in order."""


@dataclass
class TokensPrompt(dict):
    prompt_token_ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self["prompt_token_ids"] = self.prompt_token_ids


class RequestOutput:
    def __init__(self, prompt: list[int], outputs: list[Any]) -> None:
        self.prompt_token_ids, self.outputs = prompt, outputs


class LLM:
    def __init__(self, model: str, seed: int = 0, **more: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        assert more.get("trust_remote_code") in (False, None)
        ENGINES.append({"model": model, "seed": seed, **more})
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype="float32", attn_implementation="eager")
        self.generator = torch.Generator().manual_seed(seed)
        self.loaded = 0
        self.llm_engine = SimpleNamespace(
            model_config=SimpleNamespace(max_model_len=more.get("max_model_len")),
            model_executor=SimpleNamespace(
                driver_worker=SimpleNamespace(
                    model_runner=SimpleNamespace(model=SimpleNamespace(load_weights=self._load))
                )
            ),
        )

    def _load(self, weights: list[tuple[str, Any]]) -> None:
        own = dict(self.model.named_parameters())
        for name, value in weights:
            own[name].data.copy_(value)
            self.loaded += 1

    def reset_prefix_cache(self) -> None:
        pass

    def generate(
        self, prompts: list[Any], sampling_params: Any, use_tqdm: bool = False, **_: Any
    ) -> list[RequestOutput]:
        each = sampling_params if isinstance(sampling_params, list) else [sampling_params] * len(prompts)
        return [self._one(list(p["prompt_token_ids"]), params) for p, params in zip(prompts, each, strict=True)]

    def _one(self, prompt: list[int], params: SamplingParams) -> RequestOutput:
        import torch

        generator = self.generator if params.seed is None else torch.Generator().manual_seed(params.seed)
        ends = set(params.stop_token_ids)  # and nothing else: what ends an answer has to be said
        ids, logps, past, new = [], [], None, torch.tensor([prompt])
        with torch.inference_mode():
            while len(ids) < params.max_tokens:
                out = self.model(input_ids=new, past_key_values=past, use_cache=True)
                past = out.past_key_values
                logits = out.logits[0, -1].float()
                logp = torch.log_softmax(logits / (params.temperature or 1.0), -1)
                token = (
                    int(logits.argmax())
                    if not params.temperature
                    else int(torch.multinomial(logp.exp(), 1, generator=generator))
                )
                ids.append(token)
                logps.append({token: SimpleNamespace(logprob=float(logp[token]), rank=1)})
                if token in ends:
                    break
                new = torch.tensor([[token]])
        return RequestOutput(prompt, [SimpleNamespace(token_ids=ids, logprobs=logps, text="", finish_reason="stop")])
