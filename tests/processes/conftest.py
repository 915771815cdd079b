"""Folders with a part of the embedded data where the quickstart's configs look for it."""

from pathlib import Path

import pytest

from mmdualhead.datasets import synthetic


@pytest.fixture(scope='session')
def clips():
    """36 clips to train on."""
    return synthetic.generate(subjects=2, repetitions=1)


@pytest.fixture
def folder(tmp_path: Path, clips) -> Path:
    synthetic.write(clips, tmp_path / 'data' / 'skeleton' / 'synthetic.pkl')
    return tmp_path
