from __future__ import annotations

import re
import resource
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.datasets.annotations.files import open_annotations
from mmdualhead.datasets.converters import cli, utd_mhad
from mmdualhead.datasets.recording import Recording
from mmdualhead.datasets.transforms.normalize import normalize_clip
from mmdualhead.errors import UserError
from mmdualhead.skeletons import KINECT_V1

from .raw_files import standing, write_utd

TOOLS = Path(__file__).parents[3] / 'tools' / 'data'
LIGHT = Path(__file__).parents[2] / 'light.py'
NAMES = ('ntu', 'kinetics', 'utd_mhad', 'msr_action3d', 'nw_ucla', 'custom')


@pytest.fixture
def src(tmp_path: Path) -> Path:
    src = tmp_path / 'src'
    src.mkdir()
    for subject in (1, 2):
        joints = standing(20, 4, seed=subject)
        write_utd(src / f'a1_s{subject}_t1_skeleton.mat', joints)
    return src


def run(*args: object) -> None:
    cli.run(cli.make_parser(''), utd_mhad.scan, [str(arg) for arg in (*args, '--workers', 0)])


def test_prints_the_summary(src: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(src, tmp_path / 'out.pkl')
    assert 'utd_mhad: 2 clips, 1 classes, 2 subjects' in capsys.readouterr().out


def test_normalized_clips_are_those_of_the_pipeline(src: Path, tmp_path: Path) -> None:
    run(src, tmp_path / 'raw.pkl')
    run(src, tmp_path / 'out.pkl', '--normalize')
    raw, normalized = (open_annotations(tmp_path / name) for name in ('raw.pkl', 'out.pkl'))
    assert (raw.meta['normalized'], normalized.meta['normalized']) == (False, True)
    for one, other in zip(raw.select('xsub_train'), normalized.select('xsub_train'), strict=True):
        expected = normalize_clip(one['keypoint'], KINECT_V1).keypoint
        np.testing.assert_array_equal(other['keypoint'], expected.astype(np.float32))


@pytest.mark.fault('--normalize of joints with confidences', '-', 'they follow persons and frames')
def test_confidences_follow_the_normalization() -> None:
    keypoint = np.stack([standing(20, 4, seed=seed) for seed in (1, 2)])
    keypoint[0, :2], keypoint[1, 0] = 0, 0
    score = np.random.default_rng(0).random((2, 4, 20), np.float32)
    clip = cli.make_normalizer('kinect_v1')(Recording('a', keypoint=keypoint, keypoint_score=score))
    np.testing.assert_array_equal(clip.keypoint_score, score[[1, 0], 1:])
    assert clip.keypoint.shape == (2, 3, 20, 3)


def test_refuses_to_turn_flat_skeletons_upright() -> None:
    with pytest.raises(UserError, match="layout 'openpose' does not define up"):
        cli.make_normalizer('openpose')


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (('{src}', '{tmp}/out.pkl', '--store'), 'a store is named NAME.store'),
        (('{src}', '{tmp}/out.store'), 'a store is named NAME.store'),
        (('{tmp}/nowhere', '{tmp}/out.pkl'), 'error: {tmp}/nowhere: no such directory'),
        (('{src}', '{src}/a1_s1_t1_skeleton.mat/out.pkl'), 'error: '),
    ],
)
def test_ends_with_one_sentence(src: Path, tmp_path: Path, args: tuple, message: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*(arg.format(src=src, tmp=tmp_path) for arg in args))
    assert message.format(tmp=tmp_path) in stop.value.code
    assert sorted(path.name for path in tmp_path.iterdir()) == ['src']


@pytest.mark.parametrize('workers', ['-1', 'many'])
def test_refuses_a_senseless_number_of_workers(workers: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        cli.make_parser('').parse_args(['SRC', 'OUT', f'--workers={workers}'])
    assert f"'{workers}' is not a number of processes" in capsys.readouterr().err


def test_an_interrupt_says_how_to_continue(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, 'convert', interrupt)
    with pytest.raises(SystemExit, match=r'the same command continues from .*out\.pkl\.unfinished'):
        run(src, tmp_path / 'out.pkl')


run_tool = cli.run


@pytest.mark.parametrize('name', NAMES)
def test_every_tool_is_a_thin_command_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names its scan, and its own options are that function's parameters."""
    calls = []
    monkeypatch.setattr(sys, 'argv', [name])
    monkeypatch.setattr(cli, 'run', lambda parser, scan: calls.append((parser, scan)))
    required = {'custom': ['--labels', 'l.csv', '--layout', 'coco']}.get(name, [])
    runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
    ((parser, scan),) = calls
    assert scan.__module__.rsplit('.')[-1] == name
    monkeypatch.setattr(sys, 'argv', [f'{name}.py'])
    with pytest.raises(SystemExit, match=r'^error: SRC: no such directory$'):
        run_tool(parser, scan, ['SRC', 'OUT', *required])


def program(name: str, *args: object, most_bytes: int | None = None) -> subprocess.CompletedProcess:
    """Run a tool as a user would; files that it writes can't become larger than ``most_bytes``."""
    limit = most_bytes and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)))
    command = [sys.executable, str(LIGHT), str(TOOLS / f'{name}.py'), *map(str, args), '--workers', '0']
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit or None, timeout=120)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder of 40 clips with a table, as ``custom`` takes them: 120 kB in a shard, 300 kB in all."""
    folder = tmp_path / 'recordings'
    folder.mkdir()
    lines = ['clip,label,split', *(f'{i:02d}.npy,{i % 2},{"val" if i % 4 else "train"}' for i in range(40))]
    (folder / 'labels.csv').write_text('\n'.join(lines))
    for i in range(40):
        np.save(folder / f'{i:02d}.npy', standing(20, 30, i))
    return folder


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (
            {'--layout': '{tmp}/none.json'},
            r'layout .*none\.json: neither a file nor one of the layouts body_13, coco, ',
        ),
        ({'--classes': '{tmp}/none.txt'}, r"No such file or directory: '.*none\.txt'"),
        ({'--labels': '{tmp}'}, r'.* is not a regular file'),
        ({'OUT': '{tmp}'}, r'.* exists and is not a file, so it is not replaced'),
        ({'OUT': '/dev/full'}, r'/dev/full exists and is not a file, so it is not replaced'),
        ({'OUT': '{tmp}/recordings/00.npy/out.pkl'}, r'.*Not a directory'),
    ],
)
@pytest.mark.fault(
    '--layout, --classes or --labels that is not a file; OUT that is a folder or a device',
    '-',
    'one sentence before anything is read',
)
def test_what_is_not_there_or_in_the_way(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict, message: str
) -> None:
    options = {'--labels': recordings / 'labels.csv', '--layout': 'kinect_v1', 'OUT': tmp_path / 'out.pkl'}
    options |= {key: str(value).format(tmp=tmp_path) for key, value in changed.items()}
    out = options.pop('OUT')
    argv = ['custom.py', recordings, out, *(part for option in options.items() for part in option)]
    monkeypatch.setattr(sys, 'argv', list(map(str, argv)))
    with pytest.raises(SystemExit, match=f'^error: .*{message}.*$'):
        runpy.run_path(str(TOOLS / 'custom.py'), run_name='__main__')
    assert [path.name for path in tmp_path.iterdir()] == ['recordings']


@pytest.mark.parametrize(('suffix', 'most_bytes'), [('.pkl', 50_000), ('.store', 200_000)])
@pytest.mark.fault(
    'the disk is full while a conversion reads, or while it writes the result',
    '-',
    'one sentence; an older result stays, nothing partial; the same command continues',
)
def test_full_disk(recordings: Path, tmp_path: Path, suffix: str, most_bytes: int) -> None:
    out = tmp_path / 'result' / f'out{suffix}'
    args = ['custom', recordings, out, *['--store'] * (suffix == '.store')]
    args += ['--labels', recordings / 'labels.csv', '--layout', 'kinect_v1']
    failed = program(*args, most_bytes=most_bytes)
    assert failed.returncode == 1
    assert re.search(r'\nerror: .*could not be written: File too large\n$', failed.stderr), failed.stderr
    assert 'Traceback' not in failed.stderr
    assert [path.name for path in out.parent.iterdir()] == [f'{out.name}.unfinished']
    assert not list(out.parent.rglob('*.partial'))
    assert program(*args).returncode == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert len(open_annotations(out).select('train')) == 10


@pytest.mark.parametrize(
    ('name', 'files', 'message'),
    [
        ('ntu', {'S001C004P001R001A001.skeleton': ''}, r'the name has camera 4, expected 1\.\.3'),
        ('ntu', {'S001C001P008R002A000.skeleton': ''}, r'the name has action 0, expected 1\.\.120'),
        ('msr_action3d', {'a01_s01_e01_skeleton3D.txt': ''}, r'1 malformed raw file .*: the file is empty'),
        ('msr_action3d', {'a01_s01_e01_skeleton3D.txt': '1 2 x 1'}, 'frame 0, row 0: .* is not a number'),
        ('nw_ucla', {'A01_S01_E00_V01.JSON': ''}, 'upper and lower case exchanged'),
        (
            'utd_mhad',
            {'a1_s1_t1_skeleton.txt': ''},
            r'ignored 1 file: other names \(a1_s1_t1_skeleton.txt\)',
        ),
    ],
)
def test_raw_files_through_the_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, str], message: str
) -> None:
    (tmp_path / 'src').mkdir()
    for file, content in files.items():
        (tmp_path / 'src' / file).write_text(content)
    argv = [f'{name}.py', str(tmp_path / 'src'), str(tmp_path / 'out.pkl'), '--workers', '0']
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit, match=f'(?s)^error: .*{message}'):
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
    assert not (tmp_path / 'out.pkl').exists()


def test_a_converter_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The example of the documentation."""
    text = (TOOLS.parents[1] / 'docs' / 'data.md').read_text()
    (code,) = re.findall(r'^```python\n(# convert_mine.py\n.*?)^```', text, re.M | re.S)
    (tmp_path / 'convert_mine.py').write_text(code)
    (tmp_path / 'src').mkdir()
    for name in ('a1_s1', 'a3_s9'):
        np.savetxt(tmp_path / 'src' / f'{name}.txt', standing(20, 4).reshape(4, 60))
    argv = ['convert_mine.py', str(tmp_path / 'src'), str(tmp_path / 'mine.pkl'), '--workers', '0']
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(str(tmp_path / 'convert_mine.py'), run_name='__main__')
    assert 'mine: 2 clips, 2 classes, 2 subjects' in capsys.readouterr().out
    ((clip,), (other,)) = (open_annotations(tmp_path / 'mine.pkl').select(name) for name in ('train', 'val'))
    np.testing.assert_allclose(clip['keypoint'], standing(20, 4)[None])
    assert (clip['label'], other['label']) == (0, 2)
    (tmp_path / 'src' / 'a1_s1.txt').write_text('1 2 3')
    with pytest.raises(SystemExit, match=r'1 malformed raw file .*:\n .*a1_s1\.txt: cannot reshape'):
        runpy.run_path(str(tmp_path / 'convert_mine.py'), run_name='__main__')
