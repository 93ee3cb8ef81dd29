"""Commented files that `rlvr-bench new` writes: a model card, a suite, and their tests."""

from string import Template

CARD = """# A model card: which model, of which lineage, and how it is prompted.
# Every key: rlvr-bench show card qwen2.5-1.5b
schema_version: 1
name: $name
family: $name                  # its release line
lineage: $name                 # what it was pretrained from: a model made from Qwen is of lineage qwen
architecture: LlamaForCausalLM # `architectures` of its config.json; compared with the weights
parameters: 1000000000         # compared with the hub's own count
context_tokens: 4096           # max_position_embeddings of its config.json
licence: null                  # null: not known, and shown so
gated: null
tuning: instruct               # base, sft, instruct or rl
weights:
  source: hub
  repository: my-organisation/$name
  revision: main               # a branch or tag; a plan looks its commit up and freezes it
# What the model is asked. Its own chat template is compared with nothing: check it against the model's page.
template: chatml               # rlvr-bench list templates; or `chat_template:` with a Jinja text of your own
bos_token: ""                  # the text that begins a prompt, such as <|begin_of_text|>
system: ""                     # the default system message
instruction: "\\n\\nPlease reason step by step, and put your final answer within \\\\boxed{}."
end_tokens: ["<|im_end|>"]     # tokens that end an answer, besides the tokenizer's own
# stop: ["</answer>"]          # strings that end an answer
# thinking: "off"              # none, off or on; what switches it belongs into `opening`
# expected:                    # accuracy before training, by task; outside of it the report warns
#   math500: {low: 0.2, high: 0.4, source: "where it is from"}
sources: {}                    # by key, where a fact is from
notes: What to know when reading its results.
"""

CARD_TEST = """from pathlib import Path

from rlvr_bench.catalog import load_card
from rlvr_bench.cli.shown import prompt_of

CARD = load_card(str(Path(__file__).with_name("$file")))


def test_what_the_model_is_asked():
    asked = prompt_of(CARD, "What is 1 + 1?")
    assert asked.count("What is 1 + 1?") == 1
    assert asked.startswith(CARD.bos_token)
    assert not any(asked.endswith(end) for end in CARD.end_tokens), "the answer would begin after its own end"
"""

SUITE = """# A suite: everything scientific about a validation except the method. Every key: rlvr-bench show suite small
schema_version: 1
name: $name
version: 1                     # raise it with every change: results of two versions are not compared
title: My models
why: >-
  What it can see and what it costs: rlvr-bench plan says both.
device: cuda                   # or cpu, for tiny models
models:                        # names of cards, or paths beside this file
  - qwen2.5-0.5b
  - smollm2-360m-instruct
seeds: [1, 2, 3]               # at least 2, or the run-to-run SD is only assumed
control: random                # the method's own training with a reward that knows nothing
reference: ground-truth        # is a lineage trainable here at all?
tasks:
  - name: math500
    lm_eval_task: rlvr_math500 # lm-eval task files of this program; all of one kind, one grader
    deciding: true             # the verdict comes from the pooled problems of deciding tasks, at least 300
    problems: {source: math500, count: 500}   # rlvr-bench list data-sets
    sampling: {temperature: 0.6, max_tokens: 2048, samples_before: 32, samples_after: 16}
  - name: clean
    lm_eval_task: rlvr_clean   # arithmetic made at run time: nothing to have memorised
    deciding: false
    problems: {source: arithmetic-chain, count: 300, arguments: {seed: 1, steps: 20}}
    sampling: {temperature: 0.6, max_tokens: 2048, samples_before: 32, samples_after: 16}
# evaluate_at: [50]            # earlier steps that are evaluated too
prompts: [boxed-step-by-step]  # the untouched models under other prompts: rlvr-bench list prompts
training_problems: {source: deepscaler, count: 40315}
# training_problems: {source: file, count: 1000, arguments: {path: ./mine.jsonl}}   # lines of {id, problem, answer}
training:                      # or `preset: paper`, which leaves `steps` to you
  steps: 100                   # one step: sample, reward, update
  prompts_per_step: 32
  group_size: 16
  updates_per_step: 4
  learning_rate: 1.0e-6
  clip: 0.2
  micro_batch: 4               # completions in one forward pass, for memory
  sampling_batch: 128
  max_prompt_tokens: 1024
  max_completion_tokens: 2048
"""

SUITE_TEST = """from pathlib import Path

from rlvr_bench.catalog import load_card, load_suite

SUITE = load_suite(str(Path(__file__).with_name("$file")))


def test_it_can_tell_one_family_from_several():
    assert len({load_card(name).lineage for name in SUITE.models}) >= 2
    assert SUITE.control and SUITE.reference


def test_enough_problems_decide():
    assert sum(task.problems.count for task in SUITE.tasks if task.deciding) >= 300
"""


def card(name: str) -> str:
    """Return a commented model card."""
    return Template(CARD).substitute(name=name)


def card_test(file: str) -> str:
    """Return the test of a card's file."""
    return Template(CARD_TEST).substitute(file=file)


def suite(name: str) -> str:
    """Return a commented suite."""
    return Template(SUITE).substitute(name=name)


def suite_test(file: str) -> str:
    """Return the test of a suite's file."""
    return Template(SUITE_TEST).substitute(file=file)
