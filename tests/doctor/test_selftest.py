"""The doctor's own training."""

import numpy as np
import pytest

from rl_es.doctor import training


def test_it_trains_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS", 0.1)
    assert "environment steps a second" in training.training()
    first, second, rate = training.trained()
    assert rate > 0 and len(first) == len(second) == 4
    assert any(np.abs(leaf).max() > 0 for leaf in first)
