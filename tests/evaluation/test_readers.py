import os
import pickle
import time

import numpy as np
import pytest
import torch
from mmengine.evaluator import DumpResults

from mmdualhead.datasets.annotations.store import write_store
from mmdualhead.errors import UserError
from mmdualhead.evaluation.readers import chosen_clips, find_dump, read_class_names, read_clips, read_scores
from mmdualhead.evaluation.scores import LabeledScores, save_scores


def dump(content, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture
def annotations(make_scores, tmp_path):
    """A PoseDataset annotation file whose split ``val`` are the clips of ``make_scores()``, among others."""
    scores = make_scores()
    items = [dict(frame_dir='other', label=0)]
    items += [dict(frame_dir=n, label=int(k)) for n, k in zip(scores.names, scores.labels, strict=True)]
    content = dict(split=dict(train=['other'], val=list(scores.names)), annotations=items)
    return dump(content, tmp_path / 'ann.pkl')


@pytest.fixture
def dump_results(make_scores, tmp_path):
    """Writes what ``mim test --dump`` writes, by mmengine's own metric."""

    def write(named=True, dual=False):
        scores = make_scores(dual=dual)
        samples = []
        for i, name in enumerate(scores.names):
            sample = dict(frame_dir=name) if named else {}
            sample |= dict(
                gt_label=torch.tensor([scores.labels[i]]), pred_score=torch.tensor(scores.fused)[i]
            )
            sample |= dict(img_shape=(1, 1), pred_label=torch.tensor([0]), num_classes=6)
            if dual:
                sample |= dict(
                    coarse_score=torch.tensor(scores.heads['coarse'][i]),
                    fine_score=torch.tensor(scores.heads['fine'][i]),
                )
            samples.append(sample)
        metric = DumpResults(out_file_path=str(tmp_path / 'results.pkl'))
        metric.process(None, samples)
        metric.evaluate(len(samples))
        return tmp_path / 'results.pkl', scores

    return write


def assert_same(read, wanted):
    assert read.names == wanted.names
    np.testing.assert_array_equal(read.labels, wanted.labels)
    assert list(read.heads) == list(wanted.heads)
    for head, values in wanted.heads.items():
        np.testing.assert_allclose(read.heads[head], values, rtol=1e-6)


def test_reads_our_dump(make_scores, tmp_path):
    save_scores(make_scores(dual=True), tmp_path / 'scores.npz')
    assert_same(read_scores(tmp_path / 'scores.npz'), make_scores(dual=True))


@pytest.mark.filterwarnings('error:TypedStorage')
@pytest.mark.parametrize('dual', [False, True])
def test_reads_dump_results_with_names(dump_results, dual):
    path, scores = dump_results(dual=dual)
    torch.storage._reset_warn_typed_storage_removal()
    assert_same(read_scores(path), scores)


def test_dump_results_without_names_need_the_annotations(dump_results, annotations):
    path, scores = dump_results(named=False)
    with pytest.raises(ValueError, match=r'results\.pkl contains no clip names.*--ann-file'):
        read_scores(path)
    assert_same(read_scores(path, read_clips(annotations, 'val')), scores)


def test_labels_are_compared_with_the_annotations(dump_results, annotations):
    path, _ = dump_results(named=False)
    clips = read_clips(annotations, 'val')
    clips.labels[2] = 5
    with pytest.raises(ValueError, match=r'give different labels to 1 clip: clip002 \(2, 5\)'):
        read_scores(path, clips)


def test_reads_pyskl_results_by_position(make_scores, tmp_path, annotations):
    scores = make_scores()
    half = scores.fused.astype(np.float16)
    np.save(tmp_path / 'result.npy', half)
    pickled = [dump(content, tmp_path / f'{type(content).__name__}.pkl') for content in (half, list(half))]
    for path in (tmp_path / 'result.npy', *pickled):
        read = read_scores(path, read_clips(annotations, 'val'))
        assert read.names == scores.names
        np.testing.assert_array_equal(read.labels, scores.labels)
        np.testing.assert_allclose(read.fused, scores.fused, atol=1e-3)
    with pytest.raises(ValueError, match='contains no clip names'):
        read_scores(path)
    with pytest.raises(ValueError, match=r'scores 59 clips, .* has 60'):
        read_scores(dump(list(scores.fused[1:]), path), read_clips(annotations, 'val'))
    (tmp_path / 'result.npy').write_bytes(b'')
    with pytest.raises(ValueError, match=r'result\.npy: not a readable NumPy file'):
        read_scores(tmp_path / 'result.npy')


def test_reads_the_authors_scores_by_name(make_scores, tmp_path):
    scores = make_scores()
    named = {f'{name}.skeleton': row for name, row in zip(scores.names, scores.fused, strict=True)}
    read = read_scores(dump(named, tmp_path / 'epoch1_test_score.pkl'))
    assert read.names == scores.names
    assert not isinstance(read, LabeledScores)
    labels = dump(
        ([f'{name}.skeleton' for name in scores.names], scores.labels.tolist()), tmp_path / 'val_label.pkl'
    )
    assert_same(read_scores(tmp_path / 'epoch1_test_score.pkl', read_clips(labels)), scores)


def test_reads_scores_by_name_with_labels_in_them(make_scores, tmp_path):
    scores = make_scores()
    content = {n: (row, int(k)) for n, row, k in zip(scores.names, scores.fused, scores.labels, strict=True)}
    assert_same(read_scores(dump(content, tmp_path / 'score.pkl')), scores)


def test_a_split_must_be_scored_whole(make_scores, tmp_path, annotations):
    save_scores(make_scores().select(range(1, 60)), tmp_path / 'scores.npz')
    with pytest.raises(ValueError, match=r'scores\.npz lacks clips of .*ann\.pkl \(val\), 1 clip: clip000'):
        read_scores(tmp_path / 'scores.npz', read_clips(annotations, 'val'))
    save_scores(make_scores(clips=61), tmp_path / 'scores.npz')
    with pytest.raises(ValueError, match=r'ann\.pkl \(val\) lacks clips of .*, 1 clip: clip060'):
        read_scores(tmp_path / 'scores.npz', read_clips(annotations, 'val'))


def test_clips_that_train_under_another_name_are_left_out(make_scores, tmp_path, annotations):
    content = pickle.loads(annotations.read_bytes())
    rng = np.random.default_rng(0)
    for item in content['annotations']:
        item |= dict(total_frames=2, keypoint=rng.random((1, 2, 25, 3), dtype=np.float32))
    trained, tested = content['annotations'][0], content['annotations'][3]
    tested['keypoint'] = trained['keypoint'].copy()
    dump(content, annotations)
    save_scores(make_scores(dual=True), tmp_path / 'scores.npz')
    read = read_scores(tmp_path / 'scores.npz', chosen_clips(annotations, 'val', without_duplicates=True))
    assert_same(read, make_scores(dual=True).select([i for i in range(60) if i != 2]))
    assert_same(
        read_scores(tmp_path / 'scores.npz', chosen_clips(annotations, 'val', False)), make_scores(dual=True)
    )


def test_annotations_come_from_stores_too(make_scores, tmp_path, annotations):
    items = pickle.loads(annotations.read_bytes())
    for item in items['annotations']:
        item |= dict(total_frames=2, keypoint=np.ones((1, 2, 25, 3), dtype=np.float32))
    write_store(tmp_path / 'store', items | dict(meta=dict(classes=['sit', 'stand'])))
    clips = read_clips(tmp_path / 'store', 'val')
    assert clips.names == make_scores().names
    np.testing.assert_array_equal(clips.labels, make_scores().labels)
    for split, said in ((None, 'choose a split; the file has'), ('test', "no split 'test'")):
        with pytest.raises(ValueError, match=f'store: {said}'):
            read_clips(tmp_path / 'store', split)
    assert read_class_names(tmp_path / 'store') == ('sit', 'stand')


def test_clips_without_a_label_are_named(tmp_path):
    path = dump([dict(frame_dir='one', label=1), dict(frame_dir='two')], tmp_path / 'ann.pkl')
    with pytest.raises(ValueError, match=r'ann\.pkl has no label for 1 clip: two'):
        read_clips(path)


def test_splits_must_be_named(annotations):
    with pytest.raises(ValueError, match=r"no split 'test'; the file has \['train', 'val'\]"):
        read_clips(annotations, 'test')
    with pytest.raises(ValueError, match='choose a split'):
        read_clips(annotations)


def test_newest_dump_of_a_work_dir_is_taken(make_scores, tmp_path):
    run = tmp_path / 'work_dirs' / 'model_j'
    for age, day in ((100, 'monday'), (0, 'tuesday'), (50, 'wednesday')):
        save_scores(make_scores(seed=age), run / day / 'scores.npz')
        os.utime(run / day / 'scores.npz', (time.time() - age,) * 2)
    assert find_dump(run) == run / 'tuesday' / 'scores.npz'
    assert_same(read_scores(run), make_scores(seed=0))


@pytest.mark.fault('fusion of a work dir that was copied: its tests have other times', '-', 'the newest test')
def test_times_of_copies_do_not_count(make_scores, tmp_path):
    for age, session in ((0, '20261129_010000'), (9, '20261129_030000')):
        save_scores(make_scores(seed=age), tmp_path / session / 'scores.npz')
        os.utime(tmp_path / session / 'scores.npz', (time.time() - age,) * 2)
    assert find_dump(tmp_path).parent.name == '20261129_030000'


@pytest.mark.fault('fusion of a work dir that was trained again, but not tested', '-', 'refused')
def test_scores_of_an_earlier_training_are_refused(make_scores, tmp_path):
    session = tmp_path / '20261129_020000' / 'vis_data'
    session.mkdir(parents=True)
    (session / 'scalars.json').touch()
    save_scores(make_scores(), tmp_path / '20261129_010000' / 'scores.npz')
    with pytest.raises(FileNotFoundError, match=r'older than the training of .*test again'):
        read_scores(tmp_path)
    read_scores(tmp_path / '20261129_010000')
    # Tested by the program that trained.
    save_scores(make_scores(seed=1), tmp_path / '20261129_020000' / 'scores.npz')
    assert_same(read_scores(tmp_path), make_scores(seed=1))


def test_work_dirs_without_a_dump_or_with_several_runs_are_refused(make_scores, tmp_path):
    for run in ('model_j', 'model_b'):
        (tmp_path / run).mkdir()
        (tmp_path / run / 'last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(FileNotFoundError, match=r'model_j contains no dumped scores .* mmdualhead test'):
        read_scores(tmp_path / 'model_j')
    save_scores(make_scores(), tmp_path / 'model_j' / 'scores.npz')
    with pytest.raises(ValueError, match=r'several runs; choose one: .*model_b, .*model_j'):
        read_scores(tmp_path)


@pytest.mark.parametrize(
    'content',
    [
        {},
        [],
        'text',
        [dict(gt_label=1)],
        [1.0, 2.0],
        {'clip': np.ones((2, 3))},
        {'a': np.ones(3), 'b': np.ones(4)},
    ],
)
def test_other_content_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match=r'other\.pkl'):
        read_scores(dump(content, tmp_path / 'other.pkl'))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_run_no_code(tmp_path):
    victim = tmp_path / 'victim'
    path = dump({'clip': Evil(victim)}, tmp_path / 'evil.pkl')
    with pytest.raises(UserError, match=r'evil\.pkl'):
        read_scores(path)
    assert not victim.exists()


def test_code_inside_a_tensor_storage_is_not_run(tmp_path):
    victim = tmp_path / 'victim'

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (pickle.dumps(Evil(victim), protocol=2),)

    path = dump({'clip': Storage()}, tmp_path / 'evil.pkl')
    with pytest.raises(UserError, match=r'evil\.pkl'):
        read_scores(path)
    assert not victim.exists()


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps([np.ones(3)])[:-9]])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / 'bad.pkl').write_bytes(content)
    with pytest.raises(ValueError, match=r'bad\.pkl'):
        read_scores(tmp_path / 'bad.pkl')


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ((['a', 'b', 'c'], [0, 1]), ': expected .*, found a tuple'),
        ([1.0, 2.0], ': expected .*, found a list'),
        ([dict(frame_dir='a', label=0), dict(label=1)], ' contains annotations without frame_dir'),
    ],
)
def test_what_is_not_clips_is_refused(tmp_path, content, said):
    with pytest.raises(ValueError, match=rf'label\.pkl{said}'):
        read_clips(dump(content, tmp_path / 'label.pkl'))


def test_clips_say_where_they_come_from(tmp_path):
    clips = [dict(frame_dir='a', label=3)]
    (tmp_path / 'bare.pkl').write_bytes(pickle.dumps(clips))
    assert read_clips(tmp_path / 'bare.pkl').source == str(tmp_path / 'bare.pkl')
    (tmp_path / 'split.pkl').write_bytes(pickle.dumps(dict(split=dict(val=['a']), annotations=clips)))
    assert read_clips(tmp_path / 'split.pkl', 'val').source == f'{tmp_path / "split.pkl"} (val)'


def test_duplicates_need_annotations_and_a_split():
    for ann_file, split in ((None, 'val'), ('x.pkl', None)):
        with pytest.raises(
            ValueError, match=r'^--without-duplicates needs --ann-file and --split, to compare'
        ):
            chosen_clips(ann_file, split, without_duplicates=True)
    assert chosen_clips(None, None, without_duplicates=False) is None


def test_heads_that_some_samples_lack_are_left_out(tmp_path):
    samples = [
        dict(frame_dir=str(i), gt_label=np.array([i]), pred_score=np.eye(2)[i], x_score=np.eye(2)[i])
        for i in range(2)
    ]
    del samples[1]['x_score']
    (tmp_path / 'dump.pkl').write_bytes(pickle.dumps(samples))
    assert list(read_scores(tmp_path / 'dump.pkl').heads) == ['fused']


def test_scores_of_two_sizes_are_refused(tmp_path):
    (tmp_path / 'dump.pkl').write_bytes(pickle.dumps({'a': np.ones(2), 'b': np.ones(3)}))
    with pytest.raises(ValueError, match=r'found the shapes \[\(2,\), \(3,\)\]'):
        read_scores(tmp_path / 'dump.pkl')


def test_class_names_come_from_text_or_annotations(tmp_path):
    (tmp_path / 'names.txt').write_text('drink water\nsit down\n\n')
    assert read_class_names(tmp_path / 'names.txt') == ('drink water', 'sit down')
    content = dict(split={}, annotations=[], meta=dict(classes=['jog', 'walk']))
    (tmp_path / 'ann.pkl').write_bytes(pickle.dumps(content))
    assert read_class_names(tmp_path / 'ann.pkl') == ('jog', 'walk')
    (tmp_path / 'bare.pkl').write_bytes(pickle.dumps(dict(split={}, annotations=[])))
    with pytest.raises(ValueError, match='has no class names'):
        read_class_names(tmp_path / 'bare.pkl')


@pytest.mark.fault(
    'labels beside scores that are fractions, names or lists', 'cut to integers, or a traceback', 'refused'
)
@pytest.mark.parametrize('change', [lambda label: label + 0.7, str, lambda label: [label, label]])
def test_labels_that_are_no_integers(make_scores, tmp_path, change):
    scores = make_scores()
    labels = [change(int(label)) for label in scores.labels]
    path = dump((list(scores.names), labels), tmp_path / 'label.pkl')
    with pytest.raises(UserError, match=r'label\.pkl: labels: expected an integer for each clip, found'):
        read_clips(path)
