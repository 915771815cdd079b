import numpy as np
import pytest
import torch
from mmaction.registry import METRICS
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger

from mmdualhead.engine.runner import DataCheckRunner
from mmdualhead.evaluation import DualHeadMetric, DumpScores, load_scores

FIELDS = {'fused': 'pred_score', 'coarse': 'coarse_score', 'fine': 'fine_score'}


def to_samples(scores):
    """What an evaluator hands to metrics after a model's ``predict``."""
    return [
        {
            'frame_dir': name,
            'gt_label': torch.tensor([scores.labels[i]]),
            **{FIELDS[head]: torch.tensor(values[i]) for head, values in scores.heads.items()},
        }
        for i, name in enumerate(scores.names)
    ]


def evaluate(metric, samples, batch=7):
    for start in range(0, len(samples), batch):
        metric.process(None, samples[start : start + batch])
    return metric.evaluate(len(samples))


def test_metrics_are_registered():
    assert METRICS.get('DualHeadMetric') is DualHeadMetric
    assert METRICS.get('DumpScores') is DumpScores


def test_dual_head_metric_reports_every_head_and_the_oracle(make_scores):
    scores = make_scores(dual=True)
    metrics = evaluate(DualHeadMetric(), to_samples(scores))
    right = {head: values.argmax(axis=1) == scores.labels for head, values in scores.heads.items()}
    assert metrics['acc/top1'] == pytest.approx(right['fused'].mean())
    assert metrics['acc/coarse_top1'] == pytest.approx(right['coarse'].mean())
    assert metrics['acc/fine_top1'] == pytest.approx(right['fine'].mean())
    assert metrics['acc/oracle_top1'] == pytest.approx((right['coarse'] | right['fine']).mean())
    # Classes are equally frequent here, so the mean over classes is the mean over clips.
    assert metrics['acc/mean1'] == pytest.approx(metrics['acc/top1'])
    assert metrics['acc/oracle_top5'] >= max(metrics['acc/coarse_top5'], metrics['acc/fine_top5'])
    assert len(metrics) == 12


def test_dual_head_metric_equals_mmaction_on_a_single_head(make_scores):
    samples = to_samples(make_scores())
    theirs = evaluate(METRICS.build(dict(type='AccMetric')), samples)
    ours = evaluate(DualHeadMetric(), samples)
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    'theirs',
    [
        {},
        dict(metric_list=('mean_class_accuracy',)),
        dict(metric_list='top_k_accuracy', metric_options=dict(top_k_accuracy=dict(topk=1))),
        dict(prefix='mm'),
    ],
)
@pytest.mark.parametrize('is_first', [True, False])
def test_both_metrics_stand_side_by_side(make_scores, theirs, is_first):
    """MMEngine refuses two results of one name; AccMetric's own are kept."""
    samples = to_samples(make_scores(dual=True))
    metrics = [DualHeadMetric(), METRICS.build(dict(type='AccMetric', **theirs))]
    evaluator = object.__new__(DataCheckRunner).build_evaluator(metrics[::-1] if is_first else metrics)
    found = evaluator.offline_evaluate(samples)
    alone = [evaluate(DualHeadMetric(), samples), evaluate(metrics[1], samples)]
    assert found == alone[0] | alone[1]


def test_one_k_or_several(make_scores):
    samples = to_samples(make_scores(dual=True))
    one = evaluate(DualHeadMetric(topk=1), samples)
    assert one == evaluate(DualHeadMetric(topk=(1,)), samples)
    assert 'acc/fine_top1' in one
    assert 'acc/top5' not in one


def test_non_finite_score_stops_at_its_batch_and_names_the_clip(make_scores):
    samples = to_samples(make_scores(dual=True))
    samples[3]['coarse_score'][0] = float('nan')
    with pytest.raises(ValueError, match='infinite coarse scores for 1 clip: clip003'):
        DualHeadMetric().process(None, samples[:5])


def test_impossible_and_multiple_labels_are_refused(make_scores):
    samples = to_samples(make_scores())
    samples[0]['gt_label'] = torch.tensor([6])
    samples[1]['gt_label'] = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r'clip000 \(label 6\)'):
        DualHeadMetric().process(None, samples[:1])
    with pytest.raises(ValueError, match='clip clip001: 2 labels'):
        DualHeadMetric().process(None, samples[1:2])


def test_dump_writes_what_the_model_said(make_scores, tmp_path):
    scores = make_scores(dual=True)
    path = tmp_path / 'out' / 'scores.npz'
    evaluator = Evaluator([DualHeadMetric(), DumpScores(out_file=str(path))])
    metrics = evaluator.offline_evaluate(to_samples(scores), chunk_size=8)
    assert set(metrics) == {key for key in metrics if key.startswith('acc/')}
    dumped = load_scores(path)
    assert dumped.names == scores.names
    for head, values in scores.heads.items():
        np.testing.assert_allclose(dumped.heads[head], values, rtol=1e-6)


@pytest.fixture
def run_log(tmp_path):
    folder = tmp_path / 'work' / '2021'
    folder.mkdir(parents=True)
    MMLogger.get_instance('a-run', log_file=str(folder / 'run.log'))
    yield folder
    MMLogger._instance_dict.pop('a-run')


def test_dump_lands_beside_the_log_of_the_run(make_scores, run_log):
    evaluate(DumpScores(), to_samples(make_scores()))
    file = run_log / 'scores.npz'
    assert file.is_file()
    assert f'Scores of 60 clips are in {file}\n' in (run_log / 'run.log').read_text()


def test_dump_asks_for_clip_names_and_npz(make_scores):
    samples = to_samples(make_scores())
    del samples[2]['frame_dir']
    with pytest.raises(ValueError, match='meta_keys'):
        DumpScores().process(None, samples)
    with pytest.raises(ValueError, match=r'\.npz'):
        DumpScores(out_file='scores.pkl')
