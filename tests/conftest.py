"""Settings for all tests."""

import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch

import mmdualhead  # noqa: F401  (before mmaction.models, which it repairs)


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    """The same numbers in every test, whatever ran before, and no fight for cores."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
