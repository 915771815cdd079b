from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from mmdualhead.datasets.converters import RawDataset, convert

# Machines that run tests are busy; a slow example is not a failure.
settings.register_profile('patient', deadline=None)
settings.load_profile('patient')


class Converted(NamedTuple):
    """What a conversion wrote and said."""

    split: dict[str, list[str]]
    meta: dict[str, Any]
    clips: dict[str, dict[str, Any]]
    summary: str

    @property
    def labels(self) -> dict[str, int]:
        return {name: clip['label'] for name, clip in self.clips.items()}


@pytest.fixture
def converted(tmp_path: Path) -> Callable[..., Converted]:
    """Converts a data set to a pickle, in this process."""

    def run(dataset: RawDataset, **options: Any) -> Converted:
        summary = str(convert(dataset, tmp_path / 'out.pkl', workers=0, **options))
        result = pickle.loads((tmp_path / 'out.pkl').read_bytes())
        clips = {annotation['frame_dir']: annotation for annotation in result['annotations']}
        return Converted(result['split'], result['meta'], clips, summary)

    return run
