"""Settings every unit test shares: one thread, reproducible examples, no window."""

import matplotlib
import pytest
import torch
from hypothesis import settings

matplotlib.use("Agg")
torch.set_num_threads(1)
settings.register_profile("made", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("made")


@pytest.fixture
def untouched_rng():
    """The test fails if it moved torch's global random generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before), "the global random generator was moved"


@pytest.fixture
def model_file(tmp_path):
    """A path for a model."""
    return tmp_path / "model.safetensors"
