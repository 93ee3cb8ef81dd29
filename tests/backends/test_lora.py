"""Low-rank factors: trained instead of the weights, saved as whole weights, and never merged into what is trained."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from rlvr_bench.backends.models import check_weights, load_model
from rlvr_bench.backends.trl import train
from rlvr_bench.runs import layout
from rlvr_bench.runs.store import file_digest
from rlvr_bench.schema.suite import Lora
from tests.backends.test_training import pytestmark, small

assert pytestmark
pytest.importorskip("peft")
SETTINGS = {"steps": 2, "prompts_per_step": 4, "group_size": 4, "updates_per_step": 2, "learning_rate": 1e-2}


@pytest.mark.slow
def test_factors_are_trained_and_whole_weights_saved(tmp_path: Path) -> None:
    inputs = small("random", **SETTINGS, lora=Lora(rank=4, alpha=8))
    for name in ("kept", "bare"):
        (tmp_path / name).mkdir()
    found = train(inputs, tmp_path / "kept")
    before = load_file(check_weights(inputs.card) / layout.WEIGHTS)
    after = load_file(tmp_path / "kept" / layout.checkpoint() / layout.WEIGHTS)
    assert set(after) == set(before)
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all("proj" in name for name in changed)  # all linear layers; embeddings and norms stay
    for name in changed:
        rank = int((after[name] - before[name]).double().svd()[1].gt(1e-6).sum())
        assert 1 <= rank <= 4, name
    model = load_model(inputs.card, tmp_path / "kept" / layout.checkpoint())
    assert type(model).__name__ == inputs.card.architecture
    # what is kept on the way changes nothing of what is trained
    bare = train(inputs.model_copy(update={"save_at": ()}), tmp_path / "bare")
    assert bare.checkpoint_sha256 == found.checkpoint_sha256
    assert (
        found.kept[1]
        == file_digest(tmp_path / "kept" / layout.checkpoint(1) / layout.WEIGHTS)
        != bare.checkpoint_sha256
    )


def test_settings_without_factors_are_written_as_before() -> None:
    settings = small("random").settings
    assert "lora" not in settings.model_dump() and "lora" not in settings.model_dump_json()
    assert settings.model_copy(update={"lora": Lora(rank=4, alpha=8)}).model_dump()["lora"] == {"rank": 4, "alpha": 8.0}
