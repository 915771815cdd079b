"""What the programs of tools/ do with outputs that can't be written and names that are markup."""

from __future__ import annotations

import os
import pickle
import re
import resource
import runpy
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.evaluation.scores import LabeledScores, save_scores
from mmdualhead.visualization import figures
from tests.datasets.converters.raw_files import write_utd

TOOLS = Path(__file__).parents[2] / 'tools'
MARKUP = (
    '<img src=x onerror=alert(1)>',
    '![x](http://example.com/x.png)',
    '../../a|b',
    '$\\frac{$',
    'n' * 300,
)


def run(tool, *arguments, bytes_per_file=resource.RLIM_INFINITY):
    """Run a tool in a process of its own, which may write only so many bytes to a file.

    Returns:
        Its exit status and what it printed, errors included.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 0
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        sys.stdout, sys.stderr = (os.fdopen(fd, 'w', buffering=1) for fd in (1, 2))
        sys.argv = [tool, *map(str, arguments)]
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_per_file, hard))
        try:
            runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')
        except SystemExit as end:
            status = 0 if end.code is None else 1
            if isinstance(end.code, str):
                os.write(2, f'{end.code}\n'.encode())
        except BaseException:
            status = 2
            os.write(2, traceback.format_exc().encode())
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader, encoding='utf-8') as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@pytest.fixture(scope='module')
def inputs(tmp_path_factory, recording, checkpoint):
    """Dumps of two streams, annotations, a recording and a checkpoint, full of markup."""
    folder = tmp_path_factory.mktemp('inputs')
    rng = np.random.default_rng(0)
    labels = np.arange(40) % len(MARKUP)
    names = (*MARKUP, *map(str, range(35)))
    for name in ('one', 'two'):
        scores = rng.dirichlet(np.ones(len(MARKUP)), 40)
        save_scores(
            LabeledScores(source=name, names=names, labels=labels, heads={'fused': scores, 'fine': scores}),
            folder / f'{name}.npz',
        )
    clips = [
        dict(frame_dir=name, label=int(label), total_frames=4, keypoint=rng.normal(size=(1, 4, 25, 3)))
        for name, label in zip(names, labels, strict=True)
    ]
    content = dict(
        split=dict(val=list(names)), annotations=clips, meta=dict(layout='nturgb+d', classes=list(MARKUP))
    )
    (folder / 'clips.pkl').write_bytes(pickle.dumps(content))
    write_utd(folder / 'a1_s2_t1_skeleton.mat', recording(20))
    (folder / 'accuracy.json').write_text('{"Small": 90.5}')
    return dict(
        dumps=(folder / 'one.npz', folder / 'two.npz'),
        clips=folder / 'clips.pkl',
        recording=folder / 'a1_s2_t1_skeleton.mat',
        checkpoint=checkpoint,
        accuracy=folder / 'accuracy.json',
    )


@pytest.fixture
def command(inputs, monkeypatch):
    """The arguments of a tool by what it writes, OUT standing for that."""
    monkeypatch.setattr(figures, 'DPI', 20)
    one, two = inputs['dumps']
    predict = ('predict', inputs['recording'], '--model', inputs['checkpoint'])
    visualize = ('visualize', inputs['clips'], '--scores', one, '--split', 'val', '--every', 20)
    small = 'tests.tools.benchmarking.test_benchmark:Small'
    once = ('--repeats', 1, '--warmup', 0, '--threads', 1, '--skip-peak')
    benchmark = ('benchmark', small, '--shape', 1, 2, 4, 5, *once)
    commands = {
        'errors': ('analyze', one, '--classes', inputs['clips'], '--out', 'OUT'),
        'fusion as JSON': ('ensemble', one, two, '--json', 'OUT'),
        'fusion as Markdown': ('ensemble', one, two, '--markdown', 'OUT'),
        'fused scores': ('ensemble', one, two, '--out', 'OUT'),
        'layouts': ('draw_layouts', 'OUT'),
        'a small model': ('pack', inputs['checkpoint'], 'OUT'),
        'answers as JSON': (*predict, '--json', 'OUT'),
        'answers as CSV': (*predict, '--csv', 'OUT'),
        'pages of answers': (*predict, '--view', 'OUT'),
        'pages': (*visualize, '--out', 'OUT'),
        'costs as JSON': (*benchmark, '--json', 'OUT'),
        'costs as Markdown': (*benchmark, '--markdown', 'OUT'),
        'costs as a picture': (*benchmark, '--accuracy', inputs['accuracy'], '--picture', 'OUT'),
        'a table': ('reproduce', '--table', '7', '--benchmark', 'utd_mhad', '--work-dir', 'OUT'),
    }
    return lambda what, out, *more: [out if part == 'OUT' else part for part in commands[what]] + list(more)


FILES = {
    'fusion as JSON': 'out',
    'fusion as Markdown': 'out',
    'fused scores': 'out',
    'layouts': 'out.png',
    'a small model': 'out.pth',
    'answers as JSON': 'out',
    'answers as CSV': 'out',
    'costs as JSON': 'out',
    'costs as Markdown': 'out',
    'costs as a picture': 'out.png',
}
"""What is written as one file, and names that it may have."""
FOLDERS = ('errors', 'pages of answers', 'pages', 'a table')


@pytest.mark.fault('`--out` of a tool names a folder, or lies in a file', '-', 'one line that names it')
@pytest.mark.parametrize('what', FILES)
def test_a_folder_in_a_file_s_place_is_named(command, what, tmp_path):
    out = tmp_path / FILES[what]
    out.mkdir()
    status, text = run(*command(what, out))
    assert (status, text.splitlines()[-1]) == (1, f'error: {out} could not be written: Is a directory')
    assert list(tmp_path.rglob('*')) == [out]


@pytest.mark.parametrize('what', ['layouts', 'fused scores', 'fusion as JSON'])
def test_a_file_in_the_way_is_named(command, what, tmp_path):
    (tmp_path / 'file').write_text('mine')
    out = tmp_path / 'file' / FILES[what]
    status, text = run(*command(what, out))
    assert (status, text.splitlines()[-1]) == (1, f'error: {out} could not be written: Not a directory')
    assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.parametrize('what', ['costs as JSON', 'costs as a picture'])
def test_a_folder_that_cannot_be_made_is_named(command, what, tmp_path):
    (tmp_path / 'mine').write_text('mine')
    out = tmp_path / 'mine' / FILES[what]
    status, text = run(*command(what, out))
    assert status == 1
    assert re.fullmatch(
        f'error: {out} could not be written: (File exists|Not a directory)', text.splitlines()[-1]
    )
    assert (tmp_path / 'mine').read_text() == 'mine'


@pytest.mark.parametrize('what', FOLDERS)
def test_a_file_in_a_folder_s_place_is_named(command, what, tmp_path):
    (tmp_path / 'out').write_text('mine')
    status, text = run(*command(what, tmp_path / 'out'))
    assert status == 1
    assert re.match(f'error: .*{tmp_path / "out"}', text.splitlines()[-1])
    assert (tmp_path / 'out').read_text() == 'mine'


@pytest.mark.fault(
    'the disk is full while a tool writes', '-', 'one line; the older file stays, nothing partial'
)
@pytest.mark.parametrize('what', FILES)
def test_a_full_disk_leaves_the_old_file(command, what, tmp_path):
    out = tmp_path / FILES[what]
    out.write_text('old')
    status, text = run(*command(what, out), bytes_per_file=50)
    assert status == 1
    assert text.splitlines()[-1] == f'error: {out} could not be written: File too large'
    assert out.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize('what', FOLDERS[:-1])
def test_a_full_disk_leaves_no_part_of_a_file(command, what, tmp_path):
    status, text = run(*command(what, tmp_path / 'out'), bytes_per_file=50)
    assert status == 1
    error = f'error: {tmp_path / "out"}/.* could not be written: File too large'
    assert re.fullmatch(error, text.splitlines()[-1])
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []


def test_a_list_of_configs_that_cannot_be_written(tmp_path):
    """In a clone of four configs."""
    root = TOOLS.parent
    configs = [f'configs/stgcnpp_utd_mhad_{stream}.py' for stream in ('j', 'b', 'jm', 'bm')]
    shutil.copytree(TOOLS, tmp_path / 'tools')
    for name in ('configs/results.yml', 'docs/results.md', *configs):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / 'configs' / '_base_').symlink_to(root / 'configs' / '_base_')
    tool = tmp_path / 'tools' / 'metafile'
    out, page = tmp_path / 'configs' / 'metafile.yml', tmp_path / 'docs' / 'model_zoo.md'
    assert run(tool) == (0, '4 configs\n')
    old = out.read_text()
    limit = 2000  # mmengine copies each config, which is smaller
    assert len(old) > limit
    assert run(tool, bytes_per_file=limit) == (1, f'error: {out} could not be written: File too large\n')
    assert out.read_text() == old
    page.unlink()
    page.mkdir()
    assert run(tool) == (1, f'error: {page} could not be written: Is a directory\n')
    assert not [*out.parent.glob('.*'), *page.parent.glob('.*')]


@pytest.mark.fault(
    'names of classes and clips that are HTML, Markdown, formulas or paths', '-', 'they stay text'
)
def test_names_stay_text_in_reports_and_never_become_paths(command, tmp_path):
    out = tmp_path / 'a' / 'b' / 'out'
    files = ('errors.md', 'confusion.png', 'reliability.png', 'gain_over_fine.png')
    assert run(*command('errors', out)) == (0, ''.join(f'{out / name}\n' for name in files))
    report = (out / 'errors.md').read_text()
    for line in report.splitlines():
        assert not line.startswith('|') or line.replace('\\|', '').count('|') in (6, 5)
    assert '<' not in report
    assert '![' not in report.replace('!\\[', '')
    status, text = run(*command('pages', out, '--strip'))
    assert (status, text) == (0, f'open {out / "index.html"}\n')
    assert {path.parent for path in tmp_path.rglob('*') if path.is_file()} == {out}
    held = tmp_path / 'held.txt'
    held.write_text('\n'.join(MARKUP))
    status, text = run(*command('fusion as Markdown', out / 'fusion.md', '--search', held))
    assert status == 0
    assert '<' not in (out / 'fusion.md').read_text()


@pytest.mark.parametrize('tool', ['predict', 'visualize'])
def test_programs_read_recordings_with_the_same_options(tool, recording, checkpoint, tmp_path):
    pytest.importorskip('plotly')
    np.savez(tmp_path / 'mm.npz', keypoint=1000 * np.stack([recording(9), recording(9, seed=1)]))
    output = {'predict': '--view', 'visualize': '--out'}[tool]
    command = (tool, tmp_path / 'mm.npz', '--model', checkpoint, output, tmp_path / 'pages')
    status, text = run(*command)
    assert status == 1
    assert '2 persons (0, 1) in 9 frames' in text
    status, text = run(*command, '--most-active')
    assert status == 1
    assert 'as if in mm' in text
    options = ('--layout', 'kinect_v1', '--unit', 'mm', '--img-shape', 480, 640)
    status, text = run(*command, *options, '--per-person')
    assert status == 0, text
    assert len(list((tmp_path / 'pages').glob('clip*.html'))) == 2


def test_scores_are_of_recordings_as_annotated(inputs, tmp_path):
    scores = ('--scores', inputs['dumps'][0], '--split', 'val')
    status, text = run('visualize', inputs['clips'], *scores, '--unit', 'mm', '--out', tmp_path)
    assert status == 1
    assert 'error: unit: the scores are those of whole recordings as annotated' in text
