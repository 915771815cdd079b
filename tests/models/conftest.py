"""The networks are tested in as many threads as OMP_NUM_THREADS says, by default one."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def _threads(_one_thread_and_seed):
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
