import json
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdualhead.evaluation.ensemble import ensemble, evaluate_fusions, shorten_paths
from mmdualhead.evaluation.fusion import fuse
from mmdualhead.evaluation.scores import LabeledScores, load_scores, save_scores

TOOL = Path(__file__).parents[2] / 'tools' / 'ensemble.py'
STREAMS = ('j', 'b', 'jm', 'bm')


@pytest.fixture
def work_dirs(make_scores, tmp_path):
    """Four tested streams, each with its clips in another order."""
    for seed, stream in enumerate(STREAMS):
        scores = make_scores(seed=seed, skill=1.0, dual=True)
        order = np.random.default_rng(seed).permutation(60)
        save_scores(scores.select(order), tmp_path / f'model_{stream}' / '2021' / 'scores.npz')
    return [str(tmp_path / f'model_{stream}') for stream in STREAMS]


@pytest.fixture
def run(monkeypatch):
    """Runs the tool as the command line does, without the seconds that a new process takes."""

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return call


def test_report_gives_streams_pairs_and_all(work_dirs):
    report, fused = ensemble(work_dirs, ['2:2:1:1'])
    content = report.to_dict()
    assert [stream['file'] for stream in content['streams']] == work_dirs
    assert len(content['pairs']) == 6
    right = fused.fused.argmax(axis=1) == fused.labels
    assert content['fused']['top1'] == pytest.approx(right.mean())
    assert content['fused']['weights'] == [2, 2, 1, 1]
    assert content['fused']['top1'] > max(stream['top1'] for stream in content['streams'])
    for entry in (content['fused'], *content['streams'], *content['pairs']):
        assert 0 <= entry['top1'] <= entry['top5'] <= 1
        assert 0 <= entry['mean_class'] <= 1
    text = report.to_text()
    assert 'model_j + model_b + model_jm + model_bm  2 : 2 : 1 : 1' in text
    assert f'{100 * right.mean():.2f}' in text.splitlines()[12]
    assert report.to_markdown().startswith('| streams | weights |')


def test_every_stream_every_pair_and_all_are_evaluated(make_scores):
    streams = [make_scores(seed=seed, skill=1.0) for seed in range(4)]
    fusions = evaluate_fusions(streams, (2, 2, 1, 1))
    assert [f.streams for f in fusions[:4]] == [(0,), (1,), (2,), (3,)]
    assert len({f.streams for f in fusions[4:10]}) == 6
    assert fusions[-1].streams == (0, 1, 2, 3)
    pair = next(f for f in fusions if f.streams == (1, 2))
    assert pair.weights == (2, 1)
    right = (2 * streams[1].fused + streams[2].fused).argmax(axis=1) == streams[1].labels
    assert pair.metrics['top1'] == pytest.approx(right.mean())


def test_a_weight_of_zero_leaves_a_stream_out(make_scores):
    streams = [make_scores(seed=seed, skill=1.0) for seed in range(3)]
    np.testing.assert_array_equal(fuse(streams[:2], (1, 0)).fused, streams[0].fused)
    fusions = {f.streams: f.metrics for f in evaluate_fusions(streams, (1, 0, 2))}
    assert fusions[0, 1] == fusions[(0,)]
    assert fusions[0, 1, 2] == fusions[0, 2]
    assert (0, 1) not in {f.streams for f in evaluate_fusions(streams, (0, 0, 2))}


def test_one_stream_alone_is_its_own_fusion(make_scores):
    fusions = evaluate_fusions([make_scores()], (1,))
    assert [f.streams for f in fusions] == [(0,)]


def test_searched_weights_are_reported_on_other_clips_only(work_dirs, tmp_path):
    report, fused = ensemble(work_dirs, search='0.5')
    assert set(report.held_out).isdisjoint(fused.names)
    assert len(report.held_out) + len(fused.names) == 60
    assert report.to_dict()['held_out'] == list(report.held_out)
    assert f'searched on 30 clips: {report.held_out[0]}' in report.to_text()
    names = tmp_path / 'names.txt'
    names.write_text('\n'.join(report.held_out) + '\n')
    assert ensemble(work_dirs, search=str(names))[0].to_dict() == report.to_dict()


def test_a_file_named_twice_is_refused(work_dirs):
    with pytest.raises(ValueError, match=r'more than once: .*model_j'):
        ensemble([work_dirs[0], work_dirs[0]])


@pytest.mark.fault('one file of scores fused with itself under another path', 'counted twice', 'refused')
def test_a_file_named_by_two_paths_is_refused(work_dirs, tmp_path):
    (tmp_path / 'link').symlink_to(Path(work_dirs[0]).resolve())
    with pytest.raises(ValueError, match=r'more than once: .*model_j'):
        ensemble([work_dirs[0], str(tmp_path / 'link')])


def test_paths_are_shortened_to_what_differs():
    assert shorten_paths(['w/model_j/scores.npz', 'w/model_b/scores.npz']) == ['model_j', 'model_b']
    assert shorten_paths(['w/j.npz', 'w/b.npz']) == ['j.npz', 'b.npz']
    assert shorten_paths(['a', 'a/b']) == ['a', 'a/b']
    assert shorten_paths(['w/j.npz']) == ['w/j.npz']
    assert shorten_paths(['w/a/j/s.npz', 'w/b/j2/s.npz']) == ['a/j', 'b/j2']
    assert shorten_paths(['a/s/x', 'b/s/y']) == ['a/s/x', 'b/s/y']
    assert shorten_paths(['w/a/x.npz', 'x.npz']) == ['w/a/x.npz', 'x.npz']
    assert shorten_paths(['w/a', '/w/b']) == ['w/a', '/w/b']
    assert shorten_paths(['w/a/x.npz', 'w/b/y.npz']) == ['a/x.npz', 'b/y.npz']


def test_command_line_writes_every_form(run, work_dirs, tmp_path, capsys):
    outputs = [tmp_path / name for name in ('fusion.json', 'fusion.md', 'fused.npz')]
    options = zip(('--json', '--markdown', '--out'), outputs, strict=True)
    run(*work_dirs, '--weights', '2:2:1:1', *(part for option in options for part in option))
    report, fused = ensemble(work_dirs, ['2:2:1:1'])
    assert report.to_text() in capsys.readouterr().out
    assert json.loads(outputs[0].read_text()) == report.to_dict()
    assert outputs[1].read_text() == report.to_markdown()
    np.testing.assert_array_equal(load_scores(outputs[2]).fused, fused.fused)


@pytest.mark.fault(
    'fused scores written into the work dir of a stream, where they are the newest', '-', 'refused'
)
def test_fused_scores_do_not_become_a_streams(run, work_dirs):
    inside = Path(work_dirs[1], 'fused.npz')
    with pytest.raises(SystemExit, match=r'^error: --out is in the work dir .*model_b,'):
        run(*work_dirs, '--out', inside)
    assert not inside.exists()
    beside = Path(work_dirs[1]).parent / 'fused.npz'
    run(*work_dirs, '--out', beside)
    assert beside.exists()


@pytest.mark.parametrize('option', ['--json', '--markdown'])
def test_command_line_prints_a_form_alone(run, work_dirs, tmp_path, capsys, option):
    run(*work_dirs, option, tmp_path / 'file')
    capsys.readouterr()
    run(*work_dirs, option, '-')
    assert capsys.readouterr().out == (tmp_path / 'file').read_text()


def test_command_line_compares_with_annotations(run, work_dirs, tmp_path, capsys):
    names = [f'clip{i:03d}' for i in range(60)]
    clips = [dict(frame_dir=name, label=i % 6) for i, name in enumerate(names)]
    content = dict(split=dict(val=names, part=names[1:]), annotations=clips)
    (tmp_path / 'ann.pkl').write_bytes(pickle.dumps(content))
    ann_file = ('--ann-file', tmp_path / 'ann.pkl')
    run(*work_dirs, *ann_file, '--split', 'val')
    assert '60 clips' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'ann\.pkl \(part\) lacks clips of .*, 1 clip: clip000$'):
        run(*work_dirs, *ann_file, '--split', 'part')
    with pytest.raises(SystemExit, match=r'^error: --without-duplicates needs --ann-file and --split,'):
        run(*work_dirs, *ann_file, '--without-duplicates')


def test_command_line_says_in_one_line_what_is_wrong(run, work_dirs):
    with pytest.raises(SystemExit, match=r'^error: 2 weights \(1:1\) for 4 streams$'):
        run(*work_dirs, '--weights', '1:1')


def test_the_whole_report_of_a_few_clips(tmp_path):
    """One stream of probabilities, and one of logits, which the remarks say."""
    labels, names = np.array([0, 1, 2]), ('a', '<b>', 'c')
    right = np.eye(3)[labels] * 0.7 + 0.1
    for file, scores in (('one', right), ('two', 10 * right[[1, 0, 2]] - 5)):
        dump = LabeledScores(source=file, names=names, labels=labels, heads={'fused': scores})
        save_scores(dump, tmp_path / f'{file}.npz')
    files = [str(tmp_path / 'one.npz'), str(tmp_path / 'two.npz')]
    report, _ = ensemble(files, ['3:1'])
    table = (
        '| streams | weights | top-1 % | top-5 % | mean class % |\n| --- | ---: | ---: | ---: | ---: |\n'
        '| one.npz | 1 | 100.00 | 100.00 | 100.00 |\n| two.npz | 1 | 33.33 | 100.00 | 33.33 |\n'
        '| one.npz + two.npz | 3 : 1 | 100.00 | 100.00 | 100.00 |\n\n'
        '3 clips, joined by name; weighted mean of class probabilities.\n'
        'two.npz: scores were not probabilities; softmax applied.\n'
    )
    assert report.to_markdown() == table
    third = dict(top1=pytest.approx(1 / 3), top5=1.0, mean_class=pytest.approx(1 / 3))
    all_right = dict(top1=1.0, top5=1.0, mean_class=1.0)
    fused = dict(files=files, weights=[3.0, 1.0], **all_right)
    assert report.to_dict() == dict(
        fused=fused,
        streams=[
            dict(file=files[0], source=files[0], scores='as they are', **all_right),
            dict(file=files[1], source=files[1], scores='softmax', **third),
        ],
        pairs=[fused],
        clips=3,
        held_out=[],
    )
