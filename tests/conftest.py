"""Settings for all tests."""

import os
from contextlib import contextmanager

os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch

import mmdualhead  # noqa: F401  (before mmaction.models, which it repairs)


@contextmanager
def file_size_limit(size):
    """Within this context no file can grow beyond some bytes, as if the disk were full."""
    resource = pytest.importorskip('resource')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope='session', autouse=True)
def _plain_text_of_configs():
    """MMEngine lays out the text of a config whenever it writes one, which takes most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.config.config.FormatCode', lambda text, **_: (text, True))
        yield


@pytest.fixture(autouse=True)
def _one_thread_and_seed():
    """The same numbers in every test, whatever ran before, and no fight for cores."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
