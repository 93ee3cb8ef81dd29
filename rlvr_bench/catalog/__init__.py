"""Finding and loading suites, model cards, methods, presets, prompts and data sets, by name or by path."""

from rlvr_bench.catalog.cards import card_of, load_card, load_template, plain, template_names
from rlvr_bench.catalog.data_sets import data_set_names, load_data_set
from rlvr_bench.catalog.files import folder, load_yaml, names
from rlvr_bench.catalog.methods import load_method, method_names
from rlvr_bench.catalog.presets import load_preset
from rlvr_bench.catalog.suites import load_prompt, load_suite

__all__ = [
    "card_of",
    "data_set_names",
    "folder",
    "load_card",
    "load_data_set",
    "load_method",
    "load_preset",
    "load_prompt",
    "load_suite",
    "load_template",
    "load_yaml",
    "method_names",
    "names",
    "plain",
    "template_names",
]
