"""Folders with a part of the embedded data where the quickstart's configs look for it."""

from pathlib import Path

import pytest

from mmdualhead.datasets import synthetic
from mmdualhead.datasets.converters import write_pickle


@pytest.fixture(scope='session')
def clips():
    """36 clips to train on."""
    return synthetic.generate(subjects=2, repetitions=1)


@pytest.fixture
def folder(tmp_path: Path, clips) -> Path:
    write_pickle(tmp_path / 'data' / 'skeleton' / 'synthetic.pkl', clips)
    return tmp_path
