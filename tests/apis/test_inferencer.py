"""An inferencer answers as a test does, whatever it is made from and however recordings come."""

from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.forward import predict
from mmdualhead.apis.readers import read_annotation
from mmdualhead.apis.recordings import RecordingError, find_recordings
from mmdualhead.apis.trained import ModelError, TrainedModel, load_trained
from mmdualhead.datasets.converters.utd_mhad import CLASSES
from mmdualhead.datasets.recording import Recording
from mmdualhead.evaluation.scores import load_scores
from mmdualhead.models import ops
from mmdualhead.models.fused import FusedRecognizer
from mmdualhead.models.ops import standard_operations
from mmdualhead.skeletons import convert_layout
from tests.apis.trained import save_trained, small_config
from tests.datasets.converters.raw_files import write_utd


def scores_of(result, head='fused'):
    return np.stack([answer.scores[head] for answer in result['predictions']])


@pytest.fixture(scope='module')
def annotations(tmp_path_factory, recording):
    """An annotation file of clips of different lengths, one of them shorter than a sample."""
    clips = [
        dict(frame_dir=f'clip{i}', label=i, total_frames=frames, keypoint=recording(frames, seed=i)[None])
        for i, frames in enumerate((1, 7, 16, 40, 90))
    ]
    clips[3]['keypoint'][:, 10:14] = 0  # nobody is there
    path = tmp_path_factory.mktemp('data') / 'clips.pkl'
    content = dict(split=dict(xsub_train=[], xsub_val=[c['frame_dir'] for c in clips]), annotations=clips)
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture(scope='module')
def tested(annotations, checkpoint, tmp_path_factory):
    """What a test of the same config and checkpoint dumps."""
    folder = tmp_path_factory.mktemp('tested')
    config = small_config()
    config.merge_from_dict(
        dict(
            work_dir=str(folder),
            load_from=str(checkpoint),
            test_dataloader=dict(num_workers=0, persistent_workers=False, batch_size=2),
            test_evaluator=[dict(type='DumpScores', out_file=str(folder / 'scores.npz'))],
            experiment_name=folder.name,
        )
    )
    config.test_dataloader.dataset.ann_file = str(annotations)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        Runner.from_cfg(config).test()
    return load_scores(folder / 'scores.npz')


class TestAgainstATest:
    @pytest.mark.parametrize('batch_size', [1, 3, 8])
    def test_scores_are_equal_whatever_the_batch(self, tested, inferencer, annotations, batch_size):
        result = inferencer(str(annotations), batch_size=batch_size)
        assert [answer.name for answer in result['predictions']] == list(tested.names)
        for head in ('fused', 'coarse', 'fine'):
            np.testing.assert_allclose(scores_of(result, head), tested.heads[head], atol=1e-6, rtol=0)
        assert np.ptp(tested.fused, axis=0).max() > 0.01, 'the clips should be told apart'

    def test_arrays_give_what_the_file_gives(self, tested, inferencer, annotations):
        clips = pickle.loads(annotations.read_bytes())['annotations']
        result = inferencer([clip['keypoint'][0] for clip in clips], unit='m')
        np.testing.assert_allclose(scores_of(result), tested.fused, atol=1e-6, rtol=0)


class TestAnswer:
    @pytest.mark.fault(
        'annotations whose classes have another order than the model', '-', 'true classes by their names'
    )
    def test_true_classes_are_found_by_name(self, inferencer, recording, tmp_path):
        clip = dict(frame_dir='c', label=1, total_frames=30, keypoint=recording()[None])
        meta = dict(layout='kinect_v1', classes=['unknown', CLASSES[7]])
        content = dict(split=dict(val=['c']), annotations=[clip], meta=meta)
        (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content))
        (answer,) = inferencer(tmp_path / 'x.pkl')['predictions']
        assert answer.true_label == 7

    def test_names_labels_and_scores(self, inferencer, recording, tmp_path):
        write_utd(tmp_path / 'a7_s2_t1_skeleton.mat', recording())
        (answer,) = inferencer(tmp_path / 'a7_s2_t1_skeleton.mat')['predictions']
        assert answer.true_label == 6
        assert answer.source == tmp_path / 'a7_s2_t1_skeleton.mat'
        assert list(answer.scores) == ['fused', 'coarse', 'fine']
        assert answer.classes == CLASSES
        best = answer.top(5)
        assert [guess.score for guess in best] == sorted(answer.scores['fused'], reverse=True)[:5]
        assert best[0].label == answer.label
        assert best[0].name == answer.class_name == CLASSES[answer.label]
        np.testing.assert_allclose(
            answer.scores['fused'], (answer.scores['coarse'] + answer.scores['fine']) / 2, atol=1e-6
        )

    def test_attention_covers_the_frames_that_were_seen(self, inferencer, recording):
        keypoint = recording(100)
        keypoint[40:60] = 0
        (answer,) = inferencer(keypoint)['predictions']
        assert answer.frames.shape == (2, 16)
        assert not set(answer.frames.ravel()) & set(range(40, 60)), 'nobody is in these frames'
        assert answer.frames.max() > 60
        seen = np.isin(np.arange(100), answer.frames)
        np.testing.assert_array_equal(~np.isnan(answer.when), seen)
        assert ((answer.when[seen] > 0) & (answer.when[seen] < 1)).all()
        assert answer.where.shape == (20,)
        assert ((answer.where > 0) & (answer.where < 1)).all()
        np.testing.assert_array_equal(answer.keypoint[0], keypoint)

    def test_attention_covers_a_resampled_recording(self, recording, tmp_path):
        config = small_config('dualhead_nw_ucla_j')
        (answer,) = SkeletonInferencer(save_trained(tmp_path / 'epoch_1.pth', config))(recording(50))[
            'predictions'
        ]
        np.testing.assert_array_equal(answer.frames, np.rint(np.linspace(0, 49, 32))[None])

    def test_attention_is_that_of_the_network(self, inferencer, recording):
        """The spatial masks of a recording of one sample, averaged over the blocks by hand."""
        (answer,) = inferencer(recording(16))['predictions']
        network, masks = inferencer.models[0].inference_form().recognizer, []

        def record(attention, given):
            masks.append(attention.conv(given[1].mean(2)).sigmoid())

        hooks = [attention.register_forward_pre_hook(record) for attention in network.attentions['spatial']]
        inferencer(recording(16))
        for hook in hooks:
            hook.remove()
        assert len(masks) == len(hooks)
        expected = torch.stack(masks).mean((0, 1, 2))
        np.testing.assert_allclose(answer.where, expected.numpy(), atol=1e-6)

    def test_json(self, inferencer, recording, tmp_path):
        inferencer([recording(9)], pred_out_file=tmp_path / 'out.json', top=3)
        (told,) = json.loads((tmp_path / 'out.json').read_text())['predictions']
        assert len(told['top']) == 3
        assert len(told['scores']['coarse']) == 27
        assert len(told['when']) == 9

    def test_data_samples(self, inferencer, recording):
        (sample,) = inferencer(recording(), return_datasamples=True)['predictions']
        (answer,) = inferencer(recording())['predictions']
        assert int(sample.pred_label) == answer.label
        np.testing.assert_array_equal(sample.coarse_score.numpy(), answer.scores['coarse'])


class TestMadeFrom:
    def test_a_work_dir(self, inferencer, checkpoint, recording):
        other = SkeletonInferencer(checkpoint.parent, device='cpu')
        np.testing.assert_array_equal(scores_of(other(recording())), scores_of(inferencer(recording())))

    def test_a_config_and_weights(self, inferencer, checkpoint, recording, tmp_path):
        (tmp_path / 'mine.py').write_text(small_config().pretty_text)
        for config in (str(tmp_path / 'mine.py'), small_config()):
            other = SkeletonInferencer(config, str(checkpoint), device='cpu')
            np.testing.assert_array_equal(scores_of(other(recording())), scores_of(inferencer(recording())))

    def test_the_name_of_a_config_needs_weights(self):
        with pytest.raises(ModelError, match=r'dualhead_utd_mhad_j.*pass weights'):
            SkeletonInferencer('dualhead_utd_mhad_j')

    def test_weights_that_do_not_fit_a_named_config_are_refused(self, checkpoint):
        with pytest.raises(ModelError, match='does not fit the model'):
            SkeletonInferencer('dualhead_utd_mhad_j', checkpoint)

    def test_a_work_dir_beside_weights_is_refused(self, checkpoint):
        with pytest.raises(ModelError, match='already contains weights'):
            SkeletonInferencer(str(checkpoint.parent), checkpoint)


@pytest.fixture(scope='module')
def bones(tmp_path_factory):
    """A checkpoint that looks at bones."""
    folder = tmp_path_factory.mktemp('bones')
    return save_trained(folder / 'epoch_1.pth', small_config('dualhead_utd_mhad_b'), seed=1)


class TestStreams:
    def test_each_forms_its_own_and_all_are_fused(self, checkpoint, bones, recording):
        single = [SkeletonInferencer(one, device='cpu')(recording()) for one in (checkpoint, bones)]
        both = SkeletonInferencer([checkpoint, bones], device='cpu', stream_weights='2:1')
        result = both(recording())
        for head in ('fused', 'coarse', 'fine'):
            joints, bone = (scores_of(one, head) for one in single)
            np.testing.assert_allclose(scores_of(result, head), (2 * joints + bone) / 3, atol=1e-6)
        (answer,) = result['predictions']
        np.testing.assert_allclose(answer.streams['b']['fused'], scores_of(single[1])[0], atol=1e-6)
        assert list(answer.streams) == ['j', 'b']
        assert [line.rpartition('; ')[2] for line in both.describe()] == [
            '67% of the score',
            '33% of the score',
        ]

    def test_one_stream_twice_is_refused(self, checkpoint):
        with pytest.raises(ModelError, match='streams j, j; each stream may be given only once'):
            SkeletonInferencer([checkpoint, checkpoint], device='cpu')

    @pytest.mark.fault('streams whose joints are normalized in different ways', '-', 'refused')
    def test_streams_that_normalize_in_another_way_are_refused(self, checkpoint, bones, monkeypatch):
        def load(file, *others):
            model = load_trained(file, *others)
            changed = replace(model.input, normalization='body' if file == bones else '3d')
            return replace(model, input=changed)

        monkeypatch.setattr('mmdualhead.apis.inferencer.load_trained', load)
        with pytest.raises(ModelError, match=r'differ in their normalization \(3d and body\)'):
            SkeletonInferencer([checkpoint, bones], device='cpu')


class TestOtherInputs:
    def test_another_layout_is_converted(self, inferencer, recording):
        landmarks = recording(joints=33)
        result = inferencer(landmarks, layout='mediapipe', unit='m')
        converted = convert_layout(landmarks, 'mediapipe', 'kinect_v1')
        np.testing.assert_allclose(result['predictions'][0].keypoint[0], converted, atol=1e-6)
        alone = inferencer(converted, unit='m')
        np.testing.assert_allclose(scores_of(result), scores_of(alone), atol=1e-6)

    def test_units(self, inferencer, recording):
        meters, millimeters = inferencer(recording()), inferencer(1000 * recording(), unit='mm')
        np.testing.assert_allclose(scores_of(millimeters), scores_of(meters), atol=1e-4)

    @pytest.mark.heavy
    def test_a_million_frames(self, inferencer, recording):
        (answer,) = inferencer(recording(1_000_000))['predictions']
        assert answer.frames.max() > 900_000

    def test_of_too_many_persons_the_most_active_can_be_kept(self, inferencer, recording):
        mover, still = recording(), np.repeat(recording(1), 30, axis=0) + 1
        alone = inferencer(mover)
        crowd = inferencer(np.stack([mover, still]), most_active=True)
        np.testing.assert_allclose(scores_of(crowd), scores_of(alone), atol=1e-6)

    def test_one_frame_and_many(self, inferencer, recording):
        result = inferencer([recording(1), recording(20000)])
        assert [len(answer.when) for answer in result['predictions']] == [1, 20000]

    def test_batches_have_recordings(self, inferencer, recording):
        with pytest.raises(ValueError, match='batch_size is 0, expected 1 or more'):
            inferencer(recording(), batch_size=0)

    def test_bad_ones_can_be_left_out(self, inferencer, recording):
        bad = recording()
        bad[3, 4, 1] = np.nan
        result = inferencer([recording(), bad, recording(5)], batch_size=2, on_error='skip')
        assert [answer.name for answer in result['predictions']] == ['input 0', 'input 2']
        assert 'frame 3, joint 4 (left shoulder): nan' in result['left_out']['input 1']

    def test_two_of_one_name_count_as_two(self, inferencer, recording):
        bad = [Recording(name='x', keypoint=recording() * scale) for scale in (0, np.nan)]
        result = inferencer(bad, on_error='skip')
        assert list(result['left_out']) == ['x', 'x (2)']

    def test_clips_of_several_classes_have_no_true_one(self, inferencer, recording):
        (answer,) = inferencer(read_annotation(dict(keypoint=recording()[None], label=[1, 2])))['predictions']
        assert answer.true_label is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda x: x[:0], r'input 0: keypoint: no frames'),
        (lambda x: x[None][:0], r'input 0: keypoint: no person'),
        (lambda x: 0 * x, r'input 0: keypoint: no person, all coordinates are zero'),
        (lambda x: x[..., :2], r'input 0: keypoint: 2 coordinates per joint, the model expects x, y, z'),
        (
            lambda x: x[:, :17],
            r"input 0: keypoint: 17 joints, the layout 'kinect_v1' has 20; if they are x, y and",
        ),
        (
            lambda x: np.stack([x, x + 1]),
            r'2 persons \(0, 1\) in 30 frames, the model takes 1; remove',
        ),
        (lambda x: 1000 * x, r"person 0 measures .* from hip to head, as if in mm; give unit='cm'"),
        (lambda x: x[0, 0], r'expected numbers of shape \(T, V, C\)'),
        (lambda x: x.astype(object), r'expected numbers'),
        (lambda _: {'a': 1}, r'input 0: expected an array .* found a dict'),
        (lambda _: 3, r'found a int'),
        (lambda _: [], r'no recordings'),
        (lambda x: np.where(x > 3, np.inf, x), r'person 0, frame \d+, joint \d+ \(.*\): inf'),
    ],
)
def test_what_cannot_be_answered_is_named(inferencer, recording, change, message):
    with pytest.raises(RecordingError, match=message):
        inferencer(change(recording()))


def test_a_layout_that_there_is_not_is_refused_also_where_the_file_says_its_own(
    inferencer, recording, tmp_path
):
    write_utd(tmp_path / 'a7_s2_t1_skeleton.mat', recording())
    with pytest.raises(RecordingError, match=r"unknown skeleton layout 'kinekt'"):
        inferencer(tmp_path / 'a7_s2_t1_skeleton.mat', layout='kinekt')


class TestPersons:
    """Two persons per clip, of whom some are not there."""

    @pytest.fixture(scope='class')
    @staticmethod
    def pairs(tmp_path_factory):
        config = small_config()
        for step in (*config.test_pipeline, *config.test_dataloader.dataset.pipeline):
            if step['type'] == 'FormatSkeletonInput':
                step['num_person'] = 2
        config.model.backbone.num_person = 2
        path = save_trained(tmp_path_factory.mktemp('pairs') / 'epoch_1.pth', config)
        return SkeletonInferencer(path, device='cpu')

    def test_answers_are_those_of_the_network_as_it_was_trained(self, pairs, recording, monkeypatch):
        two = np.stack([recording(30, 1), recording(30, 2)])
        clips = [recording(25), two, recording(8, 3), two[::-1].copy()]
        fast = pairs(clips)['predictions']
        monkeypatch.setattr(TrainedModel, 'inference_form', lambda self: self.network)
        for one, other in zip(fast, pairs(clips)['predictions'], strict=True):
            for head, scores in other.scores.items():
                np.testing.assert_allclose(one.scores[head], scores, atol=1e-6)
            np.testing.assert_allclose(one.when, other.when, atol=1e-6)
            np.testing.assert_allclose(one.where, other.where, atol=1e-6)

    def test_persons_in_two_threads_are_those_in_one(self, pairs, recording, monkeypatch):
        clips = [recording(25, seed) for seed in range(3)]
        expected = pairs(clips)['predictions']
        monkeypatch.setattr('mmdualhead.utils.threads.idle_cores', lambda: 2)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        found = pairs(clips)['predictions']
        torch.set_num_threads(before)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.scores['fused'], other.scores['fused'], atol=1e-6)
            np.testing.assert_allclose(one.when, other.when, atol=1e-6)
            np.testing.assert_allclose(one.where, other.where, atol=1e-6)

    def test_changed_weights_count(self, checkpoint, recording):
        inferencer = SkeletonInferencer(checkpoint, device='cpu')
        before = scores_of(inferencer(recording()))
        with torch.no_grad():
            inferencer.model.cls_head.linear['fine'].bias[0] += 30
        after = scores_of(inferencer(recording()))
        assert after[0, 0] > before[0, 0] + 0.3


class TestThreads:
    """Calls at the same time answer as calls one after the other."""

    @pytest.fixture(autouse=True)
    def switch_often(self):
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        yield
        sys.setswitchinterval(before)

    @pytest.mark.fault(
        'four threads use one inferencer',
        '-',
        'each gets its own answer, attention and list of what was left out',
    )
    def test_four_threads_share_an_inferencer(self, inferencer, recording):
        clips = [recording(frames, seed) for seed, frames in enumerate([20, 35, 50, 400] * 4)]
        clips[5] = clips[5] * np.nan
        call = partial(inferencer, on_error='skip')
        alone = list(map(call, clips))
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(call, clips))
        assert [len(one['left_out']) for one in together] == [int(i == 5) for i in range(16)]
        for one, other in zip(alone, together, strict=True):
            for answer, same in zip(one['predictions'], other['predictions'], strict=True):
                np.testing.assert_array_equal(answer.when, same.when)
                np.testing.assert_array_equal(answer.where, same.where)
                for head, scores in answer.scores.items():
                    np.testing.assert_array_equal(scores, same.scores[head])
        hooks = [module for module in inferencer.model.modules() if module._forward_pre_hooks]
        assert not hooks

    def test_standard_operations_are_of_one_thread(self):
        with standard_operations(), ThreadPoolExecutor(1) as thread:
            assert ops._traced()
            assert not thread.submit(ops._traced).result()
        assert not ops._traced()


class TestNumbers:
    @pytest.mark.fault(
        'coordinates that overflow on their way to the scores', 'scores of NaN, or a class', 'refused by name'
    )
    @pytest.mark.parametrize('size', [1e7 + 0.5, 1e20, 1e38, 1e200])
    def test_coordinates_that_overflow_are_refused(self, inferencer, recording, size):
        keypoint = recording().astype(np.float64)
        keypoint[4, 3] = size
        annotation = dict(keypoint=keypoint[None], frame_dir='x', label=0)
        result = inferencer([annotation, recording()], on_error='skip')
        assert [answer.name for answer in result['predictions']] == ['input 1']
        assert 'keypoint: it has coordinates up to 1e+' in result['left_out']['x']

    @pytest.mark.parametrize('value', [np.nan, np.inf])
    def test_scores_that_are_not_finite_are_no_answer(self, inferencer, recording, monkeypatch, value):
        def predicted(batch):
            found = predict(batch)
            found[0].scores['coarse'][3] = value
            return found

        monkeypatch.setattr('mmdualhead.apis.inferencer.predict', predicted)
        result = inferencer([recording(), recording(9)], batch_size=2, on_error='skip')
        assert [answer.name for answer in result['predictions']] == ['input 1']
        assert result['left_out'] == {'input 0': 'input 0: the coarse scores are not finite'}
        with pytest.raises(RecordingError, match='the coarse scores are not finite'):
            inferencer(recording())

    def test_a_unit_that_cannot_be_checked_is_noted(self, inferencer, recording):
        headless = recording()
        headless[:, 3] = 0
        results = [
            inferencer(one, unit=unit)
            for one, unit in ((headless, None), (headless, 'm'), (recording(), None))
        ]
        noted, *others = [result['predictions'][0] for result in results]
        assert 'unit: not checked, no frame has both hip and head' in noted.notes
        assert noted.to_dict()['notes'] == list(noted.notes)
        assert not [note for answer in others for note in answer.notes if note.startswith('unit')]

    def test_a_large_batch_passes_the_network_in_parts(self, inferencer, recording, monkeypatch):
        sizes, extract_feat = [], FusedRecognizer.extract_feat

        def counted(self, inputs, *args, **kwargs):
            sizes.append(len(inputs))
            return extract_feat(self, inputs, *args, **kwargs)

        monkeypatch.setattr(FusedRecognizer, 'extract_feat', counted)
        monkeypatch.setattr('mmdualhead.apis.forward.PASS', 3 * 2 * 16 * 20 * 3)
        inputs = [recording(20, seed) for seed in range(7)]
        result = inferencer(inputs, batch_size=7)
        assert sizes == [3, 3, 1]
        alone = inferencer(inputs, batch_size=1)
        np.testing.assert_allclose(scores_of(result), scores_of(alone), atol=1e-6)

    def test_batches_are_full_by_their_size_or_number(self, inferencer, recording, monkeypatch):
        recordings = find_recordings([recording(20, seed) for seed in range(7)])
        size = 2 * 16 * 20 * 3
        monkeypatch.setattr('mmdualhead.apis.inferencer.PASS', 3 * size)
        assert list(map(len, inferencer.preprocess(recordings))) == [3, 3, 1]
        assert list(map(len, inferencer.preprocess(recordings, batch_size=2))) == [2, 2, 2, 1]

    def test_an_answer_keeps_the_joints_of_its_recording(self, inferencer, recording):
        keypoint = recording()
        (answer,) = inferencer(keypoint)['predictions']
        keypoint += 1
        np.testing.assert_array_equal(answer.keypoint[0], recording())


class TestHalf:
    def test_scores_are_those_of_single_precision_but_for_rounding(self, checkpoint, recording, monkeypatch):
        monkeypatch.setattr('mmdualhead.apis.trained.slow_half', lambda _: None)
        clips = [recording(25, seed) for seed in range(3)]
        found, expected = (
            SkeletonInferencer(checkpoint, device='cpu', half=half)(clips)['predictions']
            for half in (True, False)
        )
        for one, other in zip(found, expected, strict=True):
            assert one.scores['fused'].dtype == one.when.dtype == np.float32
            assert 0 < np.abs(one.scores['fused'] - other.scores['fused']).max() < 0.05
            np.testing.assert_allclose(one.when, other.when, atol=0.05)
            np.testing.assert_allclose(one.where, other.where, atol=0.05)

    @pytest.mark.fault(
        'half precision on a processor that is slow at it',
        'up to 13 times as slow as single precision, and nothing said',
        'refused with the reason; `--amp` is warned of',
    )
    def test_a_processor_that_is_slow_at_it_is_refused(self, checkpoint, monkeypatch):
        monkeypatch.setenv('ONEDNN_MAX_CPU_ISA', 'AVX512_CORE')
        monkeypatch.setattr('platform.machine', lambda: 'x86_64')
        with pytest.raises(ModelError, match=r'half precision: .* has no instructions for bfloat16'):
            SkeletonInferencer(checkpoint, device='cpu', half=True)


@pytest.mark.fault('results that cannot be written', '-', 'refused before the prediction')
@pytest.mark.parametrize('option', ['pred_out_file', 'vis_out_dir'])
def test_outputs_are_checked_before_the_prediction(inferencer, monkeypatch, tmp_path, option):
    pytest.importorskip('plotly')
    monkeypatch.setattr(type(inferencer), 'iterate', lambda *_, **__: pytest.fail('it was predicted'))
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'file/out.* could not be written'):
        inferencer(inferencer.example(), **{option: tmp_path / 'file' / 'out'})
