"""Own recordings in pixels: scores, and the size of the picture."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.config import Config

from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.datasets.converters import Recording, convert
from mmdualhead.datasets.converters.custom import read_recording, scan
from mmdualhead.engine.checks import check_config
from mmdualhead.errors import UserError
from mmdualhead.skeletons import get_skeleton

from .test_custom import LIGHT, REPOSITORY, run, write_table

PICTURE = (480, 640)


def pixels(seed: int) -> np.ndarray:
    """(5, 17, 3): x, y of a person in pixels, and a score."""
    rng = np.random.default_rng(seed)
    scored = np.dstack([rng.uniform(100, 400, (5, 17, 2)), rng.random((5, 17))])
    return scored.astype(np.float32)


def write_flat_clips(src: Path) -> dict[str, np.ndarray]:
    """The same kind of clip in every form that holds scores."""
    clips = {name: pixels(seed) for seed, name in enumerate(('array', 'apart', 'headed', 'plain'))}
    np.save(src / 'array.npy', clips['array'])
    joints, score = clips['apart'][..., :2], clips['apart'][..., 2]
    np.savez(src / 'apart.npz', keypoint=joints, keypoint_score=score, img_shape=PICTURE)
    heading = ','.join(f'{axis}{joint}' for joint in range(17) for axis in ('x', 'y', 'score'))
    np.savetxt(src / 'headed.csv', clips['headed'].reshape(5, -1), '%.9g', ',', header=heading, comments='')
    np.savetxt(src / 'plain.csv', clips['plain'].reshape(5, -1), '%.9g', ',')
    return clips


@pytest.mark.parametrize('option', [None, PICTURE])
def test_scores_and_the_size_of_the_picture_are_kept(
    tmp_path: Path, converted: Callable, option: tuple[int, int] | None
) -> None:
    expected = write_flat_clips(tmp_path)
    size = ',,' if option else ',480,640'
    table = write_table(
        tmp_path,
        *(
            f'array.npy,0,train{size}',
            'apart.npz,1,val,,',
            f'headed.csv,0,train{size}',
            f'plain.csv,1,val{size}',
        ),
        heading='clip,label,split,height,width',
    )
    result = converted(scan(tmp_path, table, 'coco', img_shape=option))
    for name, clip in result.clips.items():
        np.testing.assert_array_equal(clip['keypoint'], expected[name][None, ..., :2])
        np.testing.assert_array_equal(clip['keypoint_score'], expected[name][None, ..., 2])
        assert tuple(clip['img_shape']) == PICTURE
    assert 'image: joints are in their image in 4 of 4 clips' in result.summary
    assert check_file(tmp_path / 'out.pkl')[1]


def test_a_size_of_the_picture_that_is_exchanged_is_warned_of(tmp_path: Path, converted: Callable) -> None:
    write_flat_clips(tmp_path)
    table = write_table(tmp_path, 'array.npy,0,train', 'headed.csv,1,val')
    result = converted(scan(tmp_path, table, 'coco', img_shape=(300, 200)))
    assert 'WARNING: image: in most clips ' in result.summary
    assert 'outside of an image of height 300 and width 200' in result.summary


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            dict(keypoint_score=np.ones((5, 16))),
            r'keypoint_score has shape \(1, 5, 16\), keypoint \(1, 5, 17',
        ),
        (dict(keypoint_score=np.ones(5)), r'keypoint_score: expected numbers of shape \(T, V\) or'),
        (dict(img_shape=640), r'expected the height and width of the image in pixels, found'),
        (dict(img_shape=(0, 640)), r'height and width of the image in pixels, found \[0, 640\]'),
        (dict(img_shape=(640, 480)), r'img_shape is \(640, 480\), but the label table has \(480, 640\)'),
        (dict(keypoint=np.ones((5, 17, 3)), keypoint_score=np.ones((5, 17))), "layout 'coco' is flat"),
    ],
)
def test_names_what_is_wrong_with_a_flat_clip(tmp_path: Path, content: dict, message: str) -> None:
    np.savez(tmp_path / 'a.npz', **{'keypoint': np.ones((5, 17, 2)), **content})
    recording = Recording('a', tmp_path / 'a.npz', 0, img_shape=PICTURE)
    with pytest.raises(ValueError, match=message):
        read_recording(recording, skeleton=get_skeleton('coco'))


@pytest.mark.parametrize('size', ['480,', ',640', '480,x', '0,640', '-480,640'])
def test_sizes_of_pictures_in_the_table_that_are_none(tmp_path: Path, size: str) -> None:
    table = write_table(tmp_path, f'a.npy,0,train,{size}', heading='clip,label,split,height,width')
    with pytest.raises(UserError, match='line 2: expected the height and width of the image'):
        scan(tmp_path, table, 'coco')


@pytest.mark.fault(
    'custom clips in pixels, converted without the size of the picture',
    'trained on as of 1920 x 1080, predicted by their true size',
    'training is refused, names clips and what to do',
)
def test_training_in_pixels_needs_the_size_of_the_picture(tmp_path: Path) -> None:
    write_flat_clips(tmp_path)
    table = write_table(tmp_path, 'array.npy,0,xsub_train', 'headed.csv,1,xsub_val')
    dataset = Config.fromfile(REPOSITORY / 'configs' / 'dualhead_ntu60_xsub_2d_j.py').val_dataloader.dataset
    dataset.ann_file = str(tmp_path / 'out.pkl')

    convert(scan(tmp_path, table, 'coco'), tmp_path / 'out.pkl', workers=0)
    with pytest.raises(UserError, match=r'out\.pkl.*img_shape: (.|\n)*headed: missing\n.*--img-shape'):
        DATASETS.build(dataset)
    convert(scan(tmp_path, table, 'coco', img_shape=PICTURE), tmp_path / 'out.pkl', workers=0)
    joints = DATASETS.build(dataset)[0]['inputs']
    assert joints[..., :2].abs().max() < 1


def test_the_example_of_the_documentation_in_2d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / 'docs' / 'data.md').read_text()
    (section,) = re.findall(r'^## Your own recordings in 2-D\n(.*?)(?=^## )', text, re.M | re.S)
    make, convert_them, config = re.findall(r'^```\w+\n(.*?)^```', section, re.M | re.S)
    (tmp_path / 'tools').symlink_to(REPOSITORY / 'tools')
    (tmp_path / 'configs').mkdir()
    for path in (REPOSITORY / 'configs').iterdir():
        (tmp_path / 'configs' / path.name).symlink_to(path)
    run([sys.executable, '-c', make], tmp_path)
    summary = run(['bash', '-ec', convert_them.replace('python ', f'{sys.executable} {LIGHT} ')], tmp_path)
    assert 'image: joints are in their image in 12 of 12 clips' in summary

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs' / 'dualhead_mine_2d_j.py').write_text(config)
    cfg = Config.fromfile('configs/dualhead_mine_2d_j.py')
    inputs = [DATASETS.build(cfg[f'{phase}_dataloader'].dataset)[0]['inputs'] for phase in ('train', 'test')]
    assert [x.shape[-2:] for x in inputs] == [(17, 3), (17, 3)]
    assert 0.5 < inputs[0][:, 0].abs().max() < 1
    assert not list(check_config(cfg))


@pytest.mark.fault(
    'own recordings with confidences in percent or NaN', '-', 'refused by the converter, names file'
)
@pytest.mark.parametrize(('factor', 'found'), [(100, r'(\d|\.)+'), (np.nan, 'nan')])
def test_confidences_that_are_none(tmp_path: Path, factor: float, found: str) -> None:
    np.save(tmp_path / 'a.npy', pixels(0) * (1, 1, factor))
    table = write_table(tmp_path, 'a.npy,0,train')
    with pytest.raises(
        UserError, match=rf'a\.npy: keypoint_score: .*\(nose\): {found}, in \d+ joints, is not'
    ):
        convert(scan(tmp_path, table, 'coco', img_shape=PICTURE), tmp_path / 'x.pkl', workers=0)
