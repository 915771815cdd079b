"""Models from a folder in the form of the Hugging Face Hub's cache, without a network."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.hub import fetched
from mmdualhead.apis.trained import PACKAGED
from mmdualhead.errors import UserError

COMMIT = '0123456789abcdef0123456789abcdef01234567'


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Fills the cache of owner/name with files."""
    pytest.importorskip('huggingface_hub')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.is_offline_mode', lambda: True, raising=False)
    cache = tmp_path / 'models--owner--name'

    def fill(*names):
        for folder in ('blobs', 'refs', f'snapshots/{COMMIT}'):
            (cache / folder).mkdir(parents=True)
        (cache / 'refs' / 'main').write_text(COMMIT)
        shutil.copy(PACKAGED, cache / 'blobs' / 'abc')
        for name in names:
            link = cache / 'snapshots' / COMMIT / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(cache / 'blobs' / 'abc')
        return cache / 'snapshots' / COMMIT

    return fill


@pytest.mark.parametrize('name', ['hf://owner/name', f'hf://owner/name@{COMMIT}'])
def test_the_inferencer_answers_with_the_model_of_a_repository(repository, name):
    repository('model.pth', 'README.md')
    clip = np.random.default_rng(0).normal(size=(1, 30, 20, 3))
    (found,) = SkeletonInferencer(name, device='cpu')(clip, unit='m')['predictions']
    (expected,) = SkeletonInferencer(device='cpu')(clip, unit='m')['predictions']
    np.testing.assert_array_equal(found.scores['fused'], expected.scores['fused'])


def test_one_of_several_checkpoints_is_named(repository):
    folder = repository('j.pth', 'bones/b.pth')
    with pytest.raises(UserError, match=r'hf://owner/name has 2 checkpoints: name one of bones/b.pth, j.pth'):
        fetched('hf://owner/name')
    assert fetched('hf://owner/name/bones/b.pth') == folder / 'bones' / 'b.pth'
    assert fetched(f'hf://owner/name@{COMMIT}/j.pth') == folder / 'j.pth'
    with pytest.raises(UserError, match=r'jm.pth: there is no such file; the repository holds bones'):
        fetched('hf://owner/name/jm.pth')


def test_a_repository_without_checkpoints(repository):
    repository('README.md')
    with pytest.raises(UserError, match=r'hf://owner/name has 0 checkpoints: there is none'):
        fetched('hf://owner/name')


def test_what_is_not_in_the_cache_takes_a_network(repository):
    repository('model.pth')
    with pytest.raises(UserError, match=r'^hf://owner/other: [^\n]+$'):
        fetched('hf://owner/other')


@pytest.mark.parametrize('name', ['hf://owner', 'hf://a/b/c.bin', 'hf://a/../b', 'hf://'])
def test_names_that_are_none(name):
    with pytest.raises(UserError, match='expected hf://OWNER/NAME'):
        fetched(name)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setattr('mmdualhead.apis.hub.find_spec', lambda name: None)  # noqa: ARG005
    with pytest.raises(UserError, match=r'pip install "mmdualhead\[hf\]"'):
        fetched('hf://owner/name')


def test_other_names_stay():
    assert fetched('work_dirs/x') == 'work_dirs/x'
    assert fetched(None) is None
