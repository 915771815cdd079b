from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config

from mmdualhead.apis.fit import fit
from mmdualhead.apis.readers import read_file
from mmdualhead.datasets.annotations.report import check_file
from mmdualhead.datasets.converters import Recording, convert
from mmdualhead.datasets.converters.custom import read_recording, read_table, scan
from mmdualhead.engine.checks import check_config
from mmdualhead.errors import UserError
from mmdualhead.network_input import NetworkInput
from mmdualhead.skeletons import get_skeleton

from .raw_files import standing, star

REPOSITORY = Path(__file__).parents[3]
LIGHT = Path(__file__).parents[2] / 'light.py'
LAYOUT = {'name': 'arm', 'joints': ['shoulder', 'elbow', 'hand'], 'bones': [[1, 0], [2, 1]]}


@pytest.fixture
def layout(tmp_path: Path) -> str:
    path = tmp_path / 'arm.json'
    path.write_text(json.dumps(LAYOUT))
    return str(path)


def write_table(tmp_path: Path, *lines: str, heading: str = 'clip,label,split') -> Path:
    path = tmp_path / 'labels.csv'
    path.write_text('\n'.join([heading, *lines]) + '\n')
    return path


def write_classes(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / 'classes.txt'
    path.write_text('\n'.join(lines) + '\n')
    return path


def read(path: Path, num_joints: int = 3) -> np.ndarray:
    return read_recording(Recording(path.stem, path, 0), skeleton=star(num_joints)).keypoint


def test_round_trip_of_all_kinds_of_files(tmp_path: Path, layout: str, converted: Callable) -> None:
    src = tmp_path / 'src'
    (src / 'day1').mkdir(parents=True)
    one, pair, flat = standing(3, 5), standing(3, 12, 1).reshape(2, 6, 3, 3), standing(3, 4, 2)[..., :2]
    np.save(src / 'one.npy', one.astype(np.float64))
    np.savez(src / 'day1' / 'pair.npz', keypoint=pair, other=np.ones(3))
    np.savetxt(src / 'plain.csv', one.reshape(5, 9), delimiter=',')
    (src / 'headed.csv').write_text(
        'a.x,a.y,b.x,b.y,c.x,c.y\n' + '\n'.join(','.join(map(str, f.ravel())) for f in flat)
    )
    np.save(src / 'stray.npy', one)
    table = write_table(
        tmp_path,
        *('one.npy,wave,train,ann', 'day1/pair.npz,push,train fold2_val,bob'),
        *('plain.csv,wave,val,', 'headed.csv,clap,val,bob'),
        heading='clip,label,split,subject',
    )
    result = converted(scan(src, table, layout, name='mine'))
    expected = {'one': one[None], 'day1/pair': pair, 'plain': one[None], 'headed': flat[None]}
    for name, clip in result.clips.items():
        np.testing.assert_array_equal(clip['keypoint'], expected[name])
    assert result.labels == {'one': 2, 'day1/pair': 1, 'plain': 2, 'headed': 0}
    assert result.split == {
        'fold2_val': ['day1/pair'],
        'train': ['one', 'day1/pair'],
        'val': ['plain', 'headed'],
    }
    assert result.meta == {
        'dataset': 'mine',
        'layout': LAYOUT,
        'classes': ['clap', 'push', 'wave'],
        'normalized': False,
        'left_out': {'stray': 'not in the label table'},
    }
    assert '4 clips, 3 classes, 2 subjects' in result.summary


@pytest.mark.parametrize('delimiter', [';', '\t'])
def test_a_table_of_a_spreadsheet_in_another_language(tmp_path: Path, layout: str, delimiter: str) -> None:
    np.save(tmp_path / 'a,b.npy', standing(3, 4))
    lines = [delimiter.join(line) for line in (('clip', 'label', 'split'), ('a,b.npy', 'wave', 'train'))]
    (tmp_path / 'labels.csv').write_text('\n'.join(lines), encoding='utf-8-sig')
    (recording,) = scan(tmp_path, tmp_path / 'labels.csv', layout).recordings
    assert recording.splits == ('train',)


@pytest.mark.fault('labels that count from 1, of classes without names', 'class 0 stays empty', 'a warning')
@pytest.mark.parametrize(('labels', 'warned'), [('12', True), ('01', False), ('23', False)])
def test_labels_from_1(tmp_path: Path, layout: str, labels: str, warned: bool) -> None:
    for name, seed in (('a', 1), ('b', 2)):
        np.save(tmp_path / f'{name}.npy', standing(3, 4, seed))
    table = write_table(tmp_path, f'a.npy,{labels[0]},train', f'b.npy,{labels[1]},val')
    summary = str(convert(scan(tmp_path, table, layout), tmp_path / 'out.pkl', workers=0))
    said = 'WARNING: label: no clip has class 0; labels count from 0, so these need num_classes=3'
    assert (said in summary) == warned


def test_labels_as_indices_and_names_in_a_given_order(tmp_path: Path, layout: str) -> None:
    np.save(tmp_path / 'a.npy', standing(3, 2))
    table = write_table(tmp_path, 'a.npy,1,train', 'b.npy,0,val')
    assert [r.label for r in scan(tmp_path, table, layout).recordings] == [1, 0]
    assert scan(tmp_path, table, layout).meta['classes'] is None
    table = write_table(tmp_path, 'a.npy,wave,train', 'b.npy,0,val')
    dataset = scan(tmp_path, table, layout, classes=write_classes(tmp_path, 'push', 'wave'))
    assert [r.label for r in dataset.recordings] == [1, 0]
    assert dataset.meta['classes'] == ['push', 'wave']


@pytest.mark.parametrize(
    ('lines', 'heading', 'message'),
    [
        (['a.npy,1'], 'clip,label', r'the header lacks split; .* found clip,label'),
        ([], 'clip,label,split', 'no line below the header'),
        (['a.npy,1,train', 'b.npy,,val'], 'clip,label,split', 'line 3: no label'),
        (['a.npy,1'], 'clip,label,split', 'line 2: no split'),
        (['a.npy,1,train', 'a.csv,1,val'], 'clip,label,split', r'line 3: clip a.csv is also in line 2'),
        (['a.npy,wave,train', 'b.npy,3,val'], 'clip,label,split', 'line 3: label 3, while others are names'),
    ],
)
def test_names_the_line_of_the_table(
    tmp_path: Path, layout: str, lines: list[str], heading: str, message: str
) -> None:
    table = write_table(tmp_path, *lines, heading=heading)
    with pytest.raises(UserError, match=rf'labels\.csv.*{message}'):
        scan(tmp_path, table, layout)


def test_refuses_a_class_that_is_not_listed(tmp_path: Path, layout: str) -> None:
    table = write_table(tmp_path, 'a.npy,wave,train', 'b.npy,wvae,val')
    with pytest.raises(UserError, match="line 3: label 'wvae' is not one of the 2 classes"):
        scan(tmp_path, table, layout, classes=write_classes(tmp_path, 'push', 'wave'))


def test_refuses_unknown_and_contradictory_layouts(tmp_path: Path) -> None:
    table = write_table(tmp_path, 'a.npy,1,train')
    with pytest.raises(
        FileNotFoundError,
        match=r'layout nothing: neither a file nor one of the layouts body_13, coco, .*kinect',
    ):
        scan(tmp_path, table, 'nothing')
    (tmp_path / 'bad.json').write_text(json.dumps({**LAYOUT, 'bones': [[1, 0]]}))
    with pytest.raises(UserError, match=r'bad\.json: .*every joint but one needs exactly one parent'):
        scan(tmp_path, table, str(tmp_path / 'bad.json'))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.npy', np.ones((5, 3)), r'expected numbers of shape \(T, V, C\) or \(M, T, V, C\)'),
        ('a.npy', np.ones((5, 3, 4)), r'2 or 3 coordinates a joint, found shape \(1, 5, 3, 4\)'),
        ('a.npy', np.full((5, 3, 3), 'x'), 'found <U1'),
        ('a.npy', np.full((5, 3, 3), None), 'not a readable NumPy file of plain numbers'),
        (
            'a.npz',
            {'joints': np.ones((5, 3, 3))},
            r"expected the key 'keypoint' in a .npz file, found \['joints'\]",
        ),
        ('a.csv', '1,2,3,4,5,6\n1,2,3,4,5\n', 'line 2: 5 columns, while other lines have 6'),
        ('a.csv', '1,2,3,4,5,6\n1,2,3,4,5,6,7,8,9\n', 'line 2: 9 columns'),
        ('a.csv', '1,2,3,5\n5,6,7,8\n', r'4 columns, expected 6 or 9 \(3 joints of 2 or 3'),
        ('a.csv', '1,2,3,4,5,7\n1,2,x,4,5,6\n', "line 2, column 3: 'x' is not a number"),
        ('a.txt', '1 2 3', r"files of recordings end with .*, \.npy, \.npz, \.csv, not with '\.txt'"),
    ],
)
def test_names_what_is_wrong_with_a_clip(tmp_path: Path, name: str, content: object, message: str) -> None:
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_another_number_of_joints_is_malformed(tmp_path: Path, layout: str) -> None:
    np.save(tmp_path / 'a.npy', np.ones((5, 4, 3)))
    table = write_table(tmp_path, 'a.npy,1,train')
    with pytest.raises(UserError, match=r'a\.npy: keypoint: expected \(M, T, 3, C\), found \(1, 5, 4, 3\)'):
        convert(scan(tmp_path, table, layout), tmp_path / 'out.pkl', workers=0)


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.fault(
    'a table whose columns name the joints in another order than the layout',
    'joints are taken for others',
    'refused by conversion and prediction, names the joint',
)
@pytest.mark.parametrize('name', ['{}_x', '{} X', '{}.x', '{}X', 'x_{}', 'X ({})'])
def test_a_table_in_another_order_than_the_layout(tmp_path: Path, name: str) -> None:
    skeleton, numbers = get_skeleton(LAYOUT), ','.join(['0.1,0.2,0.3'] * 3)

    def check(*joints: str) -> None:
        axes = [
            name.format(joint).replace('x', axis).replace('X', axis.upper())
            for joint in joints
            for axis in 'xyz'
        ]
        (tmp_path / 'a.csv').write_text(f'{",".join(axes)}\n{numbers}\n')
        read_recording(Recording('a', tmp_path / 'a.csv', 0), skeleton).check_numbers(skeleton)
        fit(read_file(tmp_path / 'a.csv'), NetworkInput(skeleton=skeleton), unit='m')

    check('Shoulder', 'elbow', 'hand')
    check('shoulder', 'joint', 'tip')
    with pytest.raises(UserError, match="joint 1 is 'hand' in the file, but 'elbow' in layout 'arm'; bring"):
        check('shoulder', 'hand', 'elbow')


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.csv'])
@given(content=st.binary(max_size=200), position=st.integers(0, 200))
def test_random_bytes(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes, position: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f'random{suffix}'
    intact = _npy(np.ones((2, 3, 3)))
    for start in (content, intact[:position] + content + intact[position:]):
        path.write_bytes(start)
        try:
            keypoint = read(path)
        except ValueError:
            continue
        assert keypoint.ndim == 4
        assert keypoint.dtype == np.float32


@given(
    st.binary(max_size=100)
    | st.text(alphabet='clip,label\n"x1 ', max_size=60).map(lambda t: f'clip,label,split\n{t}'.encode())
)
def test_random_tables(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / 'random.csv'
    path.write_bytes(content)
    try:
        rows = read_table(path)
    except UserError:
        return
    assert all(row.name and row.label and row.splits for row in rows.values())


def test_the_worked_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code blocks of the section are run in their order; the config builds its data set and network."""
    text = (REPOSITORY / 'docs' / 'data.md').read_text()
    (section,) = re.findall(r'^## Your own recordings\n(.*?)(?=^## )', text, re.M | re.S)
    blocks = re.findall(r'^```(\w+)\n(.*?)^```', section, re.M | re.S)
    kinds, (make, convert_them, expected, config, layout, own_layout) = zip(*blocks, strict=True)
    assert kinds == ('python', 'bash', 'console', 'python', 'json', 'python')
    for name in ('tools', 'configs/_base_'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(REPOSITORY / name)

    run([sys.executable, '-c', make], tmp_path)
    command = ['bash', '-ec', convert_them.replace('python ', f'{sys.executable} {LIGHT} ')]
    assert run(command, tmp_path) == expected

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs' / 'dualhead_mine_j.py').write_text(config)
    cfg = Config.fromfile('configs/dualhead_mine_j.py')
    train, val = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert (len(train), len(val)) == (9, 3)
    assert train[0]['inputs'].shape[-2:] == (20, 3)
    assert MODELS.build(cfg.model).cls_head.num_classes == 3

    (tmp_path / 'arms.json').write_text(layout)
    (tmp_path / 'labels.csv').write_text('clip,label,split\na.npy,0,train\nb.npy,2,val\n')
    for name in 'ab':
        np.save(tmp_path / f'{name}.npy', np.random.default_rng(0).random((40, 5, 3)))
    options = ['--labels', 'labels.csv', '--layout', 'arms.json']
    run([sys.executable, str(LIGHT), 'tools/data/custom.py', '.', 'data/arms.pkl', *options], tmp_path)
    (tmp_path / 'configs' / 'dualhead_arms_j.py').write_text(own_layout)
    cfg = Config.fromfile('configs/dualhead_arms_j.py')
    inputs = [DATASETS.build(cfg[f'{phase}_dataloader'].dataset)[0]['inputs'] for phase in ('train', 'test')]
    assert [x.shape for x in inputs] == [(1, 1, 48, 5, 3), (10, 1, 48, 5, 3)]
    assert not list(check_config(cfg))
    model = MODELS.build(Config.fromstring(cfg.pretty_text, '.py').model)  # as a checkpoint carries it
    assert model.eval()(inputs[0][None], mode='tensor')[0][0].shape == (1, 3)


def run(command: list[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ('table', 'complaint'),
    [
        ('clip,label,split,label\na.npy,1,train,2\n', 'the header has label twice'),
        ('clip,label,split\na.npy,pick up, put down,train\n', 'line 2: more fields .* must be quoted'),
        (
            'clip,label,split,subject\na.npy,pick up, put down,train\n',
            "line 2: split 'put', expected train, val or test, .* must be quoted",
        ),
        ('clip,label,split\na.npy,1,train\nb.npy,1,vla\n', "line 3: split 'vla', expected train"),
        (
            'clip, label, split\na.npy,Wave,train\nb.npy,wave,val\n',
            "line 3: label 'wave', but 'Wave' in line 2",
        ),
        (
            'clip,label,split\na.npy,wave  a,train\nb.npy,wave a,val\n',
            "line 3: label 'wave a', but 'wave  a'",
        ),
        (
            'clip,label,split\na.npy,u\u0308,train\nb.npy,\u00fc,val\n',
            r"label '\\xfc', but 'u\\u0308' in line 2",
        ),
        ('clip,label,split\n/etc/passwd,1,train\n', "line 2: clip '/etc/passwd' is not a path below"),
        ('clip,label,split\n../a.npy,1,train\n', r"line 2: clip '\.\./a.npy' is not a path below"),
        ('clip,label,split\na\x1b.npy,1,train\n', r"line 2: clip 'a\\x1b.npy' is not a path below"),
        (
            'clip,label,split\na\0.npy,1,train\n',
            r'labels.csv: not a CSV table \(line 2: it contains NUL bytes\)',
        ),
    ],
)
@pytest.mark.fault(
    'label table with a column twice, an unquoted comma, a misspelt split, a foreign path, NUL bytes, '
    'one class written in two ways',
    '-',
    'refused with the line',
)
def test_tables_that_would_be_misread(tmp_path: Path, layout: str, table: str, complaint: str) -> None:
    (tmp_path / 'labels.csv').write_text(table)
    with pytest.raises(UserError, match=complaint):
        scan(tmp_path, tmp_path / 'labels.csv', layout)


@pytest.mark.fault(
    'a subject of the label table in train and in val',
    '-',
    'warned when training starts and by `mmdualhead data check`',
)
def test_a_subject_in_train_and_val_is_noted(tmp_path: Path, layout: str) -> None:
    for name in 'abcd':
        np.save(tmp_path / f'{name}.npy', standing(3, 5, ord(name)))
    table = write_table(
        tmp_path,
        *('a.npy,0,train,ann', 'b.npy,1,train,bob', 'c.npy,0,val,bob', 'd.npy,1,val,eve'),
        heading='clip,label,split,subject',
    )
    convert(scan(tmp_path, table, layout), tmp_path / 'out.pkl', workers=0)
    page, sound = check_file(tmp_path / 'out.pkl')
    assert sound
    assert "warning: subject: expected no subject of 'train'; 1 clip differs:\n    c: subject bob" in page


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        ('wave\npush\nwave\n', 'line 3: class wave is also in line 1'),
        ('wave\n\npush\n', 'line 2: no name of a class'),
        ('1\n0\n', 'line 1: class 0 is named 1, a different number'),
        ('wave\0\n', 'it contains NUL bytes'),
    ],
)
@pytest.mark.fault(
    'list of classes with a name twice, an empty line, numbers in another order', '-', 'refused'
)
def test_lists_of_classes_that_would_be_misread(
    tmp_path: Path, layout: str, content: str, complaint: str
) -> None:
    (tmp_path / 'classes.txt').write_text(content)
    table = write_table(tmp_path, 'a.npy,wave,train')
    with pytest.raises(UserError, match=rf'classes\.txt.*{complaint}'):
        scan(tmp_path, table, layout, classes=tmp_path / 'classes.txt')


@pytest.mark.fault('2-D clips in a 3-D layout', '-', 'converted; posture is not judged')
def test_flat_clips_of_a_layout_with_depth(tmp_path: Path, converted: Callable) -> None:
    for name in 'ab':
        np.save(tmp_path / f'{name}.npy', standing(25, 5)[..., :2])
    table = write_table(tmp_path, 'a.npy,1,train', 'b.npy,0,val')
    result = converted(scan(tmp_path, table, 'nturgb+d'))
    assert 'posture' not in result.summary
    assert result.clips['a']['keypoint'].shape == (1, 5, 25, 2)


def test_an_absent_clip_is_malformed(tmp_path: Path, layout: str) -> None:
    table = write_table(tmp_path, 'a.npy,1,train')
    with pytest.raises(UserError, match=r'a\.npy: No such file or directory'):
        convert(scan(tmp_path, table, layout), tmp_path / 'out.pkl', workers=0)
