"""A run that is killed again and again ends in the report of one that nobody disturbed."""

import pytest

from tests.engine.chaos import chaos


@pytest.mark.parametrize("total", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_with_made_up_stages(total) -> None:
    assert len(chaos(total, seed=total)) == total


@pytest.mark.slow
def test_killed_at_random_on_the_embedded_models() -> None:
    assert len(chaos(3, seed=3, real=True)) == 3
