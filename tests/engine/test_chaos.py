"""A run that is killed again and again ends in the report of one that nobody disturbed."""

import pytest

from tests.engine.chaos import chaos


@pytest.mark.slow
def test_killed_at_random_with_made_up_stages() -> None:
    assert len(chaos(50, seed=50)) == 50


@pytest.mark.slow
def test_killed_at_random_on_the_embedded_models() -> None:
    assert len(chaos(3, seed=3, real=True)) == 3
