"""The benchmark as its users see it. Networks are tiny; no time is asserted."""

from __future__ import annotations

import gc
import json
import runpy
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarking import parity, suite
from benchmarking.candidates import NETWORKS, Candidate, Logits, candidates_of, with_empty_persons
from benchmarking.measure import (
    Comparison,
    Settings,
    Shape,
    Trial,
    compare,
    make_clips,
    peak_memory,
)
from benchmarking.picture import draw_costs
from benchmarking.reference import ReferenceNetwork
from benchmarking.report import read_accuracies, to_dict, to_markdown
from benchmarking.suite import run_suite
from mmdualhead.models.fused import fuse
from tests.models.networks import build, small_dualhead_config

ROOT = Path(__file__).parents[3]
SETTINGS = Settings(shape=Shape(4, 2, 12, 5), threads=1, repeats=3, warmup=0)
MEGABYTE = 2**20


def quiet(line: str) -> None:
    """Report no progress."""


def make_tiny(fused: bool = False) -> Logits:
    model = build(small_dualhead_config())
    return Logits(fuse(model) if fused else model)


class Small(Logits):
    """By its name on a command line."""

    def __init__(self) -> None:
        super().__init__(build(small_dualhead_config()))


def tiny() -> list[Candidate]:
    return [
        Candidate(network='tiny', make=make_tiny),
        Candidate(network='tiny', form='fused', make=partial(make_tiny, fused=True), phases=('eval',)),
    ]


def run(candidates: list[Candidate], settings: Settings = SETTINGS) -> Comparison:
    return compare(candidates, settings, say=quiet)


@pytest.fixture(scope='module')
def result():
    return compare(
        with_empty_persons(tiny(), 0.5),
        SETTINGS,
        peak=lambda one, _: dict.fromkeys(one.phases, 1_500_000_000),
        say=quiet,
    )


def test_a_row_for_each_candidate(result):
    plain, fused, half_empty = result.costs
    assert [row.name for row in result.costs] == ['tiny', 'tiny, fused', 'tiny, fused, 50% of persons empty']
    assert [len(plain.seconds[phase]) for phase in ('eval', 'train')] == [3, 3]
    assert set(fused.seconds) == set(half_empty.seconds) == {'eval'}
    assert plain.parameters == sum(p.numel() for p in tiny()[0].make().parameters())
    assert plain.saved_bytes > 0


def test_empty_persons_cost_nothing(result):
    _, fused, half_empty = result.costs
    classifier = 7 * (48 + 24)
    assert half_empty.macs - classifier == (fused.macs - classifier) / 2


def test_markdown(result):
    head, *_, legend = to_markdown(result).split('\n\n')
    table = to_markdown(result).split('\n\n')[1].splitlines()
    assert head.startswith('**(N, M, T, V) = (4, 2, 12, 5)**')
    assert 'float32' in head
    assert len(table) == 2 + len(result.costs)
    assert len({line.count('|') for line in table}) == 1
    assert 'how many times as fast as tiny.' in legend
    assert table[2].split(' | ')[5] == '1.00'
    assert table[2].endswith('| 1.50 | 1.50 |')
    assert table[3].endswith('| – | 1.50 | – |')


def test_json_holds_every_sample(result):
    found = json.loads(json.dumps(to_dict(result)))
    samples = found['costs'][0]['seconds']['train']
    assert samples == list(result.costs[0].seconds['train'])
    assert found['settings']['shape'] == dict(clips=4, persons=2, frames=12, joints=5)
    assert found['machine']['torch'] == torch.__version__


def test_picture_of_accuracy_against_cost(result, tmp_path):
    pytest.importorskip('matplotlib')
    (tmp_path / 'accuracy.json').write_text('{"tiny": 90.5}')
    draw_costs(result, read_accuracies(tmp_path / 'accuracy.json', [result]), tmp_path / 'costs.png')
    assert (tmp_path / 'costs.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"tinny": 90}', 'tinny.*tiny'),
        ('[1]', 'from network to accuracy'),
        ('{', 'a.json'),
        ('{}', 'nothing'),
    ],
)
def test_accuracies_of_something_else(result, tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_accuracies(tmp_path / 'a.json', [result])


def test_a_step_trains():
    trial = Trial(tiny()[0], SETTINGS)
    before = [p.clone() for p in trial.network.parameters()]
    trial.step()
    assert trial.network.training
    assert any((p != old).any() for p, old in zip(trial.network.parameters(), before, strict=True))
    trial.infer()
    assert not trial.network.training


def test_bf16_runs_in_bf16():
    (logits, _) = Trial(tiny()[0], replace(SETTINGS, precision='bf16')).infer()
    assert logits.dtype == torch.bfloat16


class Hungry(nn.Module):
    """Needs 64 MB for an instant, and 256 MB more in training."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        size = (64 + 256 * self.training) * MEGABYTE
        torch.ones(size, dtype=torch.uint8)
        return (self.fc(x.mean((1, 2, 3))),)


def test_peak_memory_is_that_of_the_phase_alone():
    """What this process holds does not count, although a new process inherits its peak on Linux."""
    ballast = torch.ones(512 * MEGABYTE, dtype=torch.uint8)
    peaks = peak_memory(Candidate(network='hungry', make=Hungry), SETTINGS)
    del ballast
    assert 64 * MEGABYTE <= peaks['eval'] < 200 * MEGABYTE
    assert 320 * MEGABYTE <= peaks['train'] < 500 * MEGABYTE


def test_nothing_else_is_held_while_peaks_are_measured():
    def peak(*_):
        gc.collect()
        return {'eval': sum(isinstance(one, Trial) for one in gc.get_objects())}

    (costs,) = compare(tiny()[:1], SETTINGS, peak=peak, say=quiet).costs
    assert costs.peaks == {'eval': 0}


class TestCandidates:
    def test_the_networks_have_the_sizes_of_their_papers(self):
        plain = [one for one in candidates_of(list(NETWORKS), ROOT / 'configs') if not one.form]
        sizes = {one.name: sum(p.numel() for p in one.make().parameters()) / 1e6 for one in plain}
        expected = {
            'DualHead-Net': 3.02,
            'MS-G3D': 3.20,
            'CTR-GCN': 1.45,
            'STGCN': 3.10,
            'STGCN++': 1.40,
            'AAGCN': 3.78,
        }
        assert sizes == pytest.approx(expected, abs=0.01)

    def test_forms_of_config_files(self):
        paths = [str(ROOT / 'configs' / f'{name}.py') for name in ('quickstart_j', 'stgcn_ntu60_xsub_j')]
        found = candidates_of(paths, ROOT)
        assert [(one.name, one.phases) for one in found] == [
            ('quickstart_j', ('eval', 'train')),
            ('quickstart_j, fused', ('eval',)),
            ('quickstart_j, recompute', ('train',)),
            ('stgcn_ntu60_xsub_j', ('eval', 'train')),
        ]
        costs = compare(
            [found[0], found[2]], replace(SETTINGS, shape=Shape(1, 2, 16, 25), repeats=1), say=quiet
        )
        plain, recompute = costs.costs
        assert recompute.saved_bytes < 0.6 * plain.saved_bytes

    def test_options_change_every_config(self):
        path = str(ROOT / 'configs' / 'quickstart_j.py')
        plain, *_ = candidates_of([path], ROOT, {'model.cls_head.num_classes': 3})
        with torch.no_grad():
            logits = plain.make().eval()(make_clips(Shape(1, 2, 8, 25), 3))
        assert {part.shape for part in logits} == {(1, 3)}

    def test_a_module_of_ones_own(self):
        (one,) = candidates_of([f'{__name__}:Hungry'], ROOT)
        assert one.name == 'Hungry'
        assert isinstance(one.make(), Hungry)

    def test_the_plain_equations_by_their_older_name(self):
        """Docs and logs name the module as it was called in the package."""
        (one,) = candidates_of(['mmdualhead.apis.benchmark.reference:ReferenceNetwork'], ROOT)
        assert one.name == 'ReferenceNetwork'
        assert isinstance(one.make(), ReferenceNetwork)

    def test_a_config_without_model(self, tmp_path):
        (tmp_path / 'empty.py').write_text('lr = 1')
        with pytest.raises(ValueError, match=r'empty\.py: the config has no model'):
            candidates_of([str(tmp_path / 'empty.py')], tmp_path)

    def test_a_config_that_cannot_be_built(self, tmp_path):
        (tmp_path / 'odd.py').write_text("model = dict(type='NoSuchNetwork')")
        with pytest.raises(ValueError, match=r'odd\.py: the model cannot be built: .*NoSuchNetwork'):
            candidates_of([str(tmp_path / 'odd.py')], tmp_path)

    @pytest.mark.parametrize('fraction', [0, 1, 1.5, -0.5])
    def test_share_of_empty_persons(self, fraction):
        with pytest.raises(ValueError, match='between 0 and 1'):
            with_empty_persons(tiny(), fraction)


def test_the_last_persons_are_absent():
    x = make_clips(Shape(4, 2, 3, 5), 3, empty_persons=0.75)
    there = x.ne(0).flatten(2).any(2)
    assert there.tolist() == [[False, False]] * 2 + [[True, False]] * 2


def test_a_network_of_other_clips_is_named():
    with pytest.raises(ValueError, match=r'tiny does not accept clips of shape .* \(4, 2, 12, 6\)'):
        run(tiny()[:1], replace(SETTINGS, shape=Shape(4, 2, 12, 6)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(precision='fp8'), 'unknown precision'),
        (dict(precision='tf32'), 'tf32 needs a CUDA device'),
        (dict(clock='sun'), "no clock 'sun'"),
        (dict(repeats=0), 'must be positive'),
    ],
)
def test_settings_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)


def test_two_candidates_of_one_name():
    with pytest.raises(ValueError, match='different names'):
        run(tiny()[:1] * 2)


def test_times_as_the_table_shows_them(result):
    slow, fast = (replace(result.costs[0], name=name, seconds={}) for name in ('slow', 'fast'))
    slow.seconds = dict(eval=[1.5], train=[0.012])
    fast.seconds = dict(eval=[0.005, 0.001, 0.002, 0.004, 0.003])
    table = to_markdown(replace(result, costs=[slow, fast])).split('\n\n')[1].splitlines()
    assert table[2].split(' | ')[3:9] == [
        '1500 (1500–1500)',
        '2.7',
        '1.00',
        '12.0 (12.0–12.0)',
        '333.3',
        '1.00',
    ]
    assert table[3].split(' | ')[3:9] == ['3.00 (2.00–4.00)', '1333.3', '500.00', '–', '–', '–']


def test_the_program_says_what_is_wrong(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'nothing.py'])
    with pytest.raises(SystemExit, match=r'error: .*nothing\.py'):
        runpy.run_path(str(ROOT / 'tools' / 'benchmark.py'), run_name='__main__')


@pytest.mark.parametrize(
    ('option', 'name', 'message'),
    [
        ('--json', 'file/x.json', r'x\.json could not be written'),
        ('--markdown', 'file/x.md', r'x\.md could not be written'),
        ('--picture', 'x.jpg', r'x\.jpg: figures are written as \.png'),
    ],
)
def test_the_program_checks_what_it_is_to_write_before_it_measures(
    option, name, message, monkeypatch, tmp_path
):
    (tmp_path / 'file').touch()
    accuracy = ['--accuracy', 'a.json'] if option == '--picture' else []
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'nothing.py', option, str(tmp_path / name), *accuracy])
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        runpy.run_path(str(ROOT / 'tools' / 'benchmark.py'), run_name='__main__')


def test_the_suite(monkeypatch, tmp_path, capsys):
    """On a CPU and small: the code that a card runs; test_parity.py runs the other fixtures."""
    monkeypatch.setattr(parity, 'NETWORKS', {'dualhead_kinetics': parity.NETWORKS['dualhead_kinetics']})
    file = tmp_path / 'suite.json'
    options = ['--shape', *['2', '2', '12', '5'], '--repeats', '1', '--warmup', '0', '--threads', '1']
    command = ['benchmark.py', f'{__name__}:Small', '--suite', 'paper', '--json', str(file), *options]
    monkeypatch.setattr(sys, 'argv', command)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / 'benchmark.py'), run_name='__main__')
    assert end.value.code == 0
    assert 'outputs correct' in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report['parity'].keys() == {'dualhead_kinetics'}
    assert 0 < report['parity']['dualhead_kinetics'] < 1e-9
    assert [part['settings']['precision'] for part in report['parts']] == ['float32', 'bf16']
    assert set(report['errors']) == {
        f'Small{form}' for form in ('', ', standard operations', ', channels_last')
    }
    assert all(found['float64'] < 1e-9 < found['float32'] < 1e-3 for found in report['errors'].values())
    ratios = report['parts'][0]['ratios']
    assert 0 < ratios['share_of_matrix_rate']['Small']['train'] < 1
    assert ratios['hours_of_the_papers_training'] > 0


@pytest.mark.parametrize(
    ('parity', 'error', 'right'),
    [
        (1e-10, 1e-10, True),
        (1e-10, 1e-8, False),
        (1e-8, 1e-10, False),
        (1e-10, float('nan'), False),
        (float('nan'), 1e-10, False),
    ],
)
def test_a_suite_without_time_tells_whether_answers_are_right_and_what_it_left_out(
    parity, error, right, monkeypatch
):
    monkeypatch.setattr(suite, '_errors', lambda *_: {'float64': error, 'float32': 1e-4})
    *_, report = run_suite(
        tiny(), SETTINGS, [SETTINGS.shape], parity=lambda _: {'net': parity}, seconds=0, say=quiet
    )
    assert report['right'] is right
    assert report['parts'] == []
    assert report['left_out'][0].startswith('(4, 2, 12, 5), float32: tiny, tiny, fused')


class Broken(Small):
    """Its logits in train mode are not numbers."""

    def forward(self, x):
        return tuple(logits + (float('nan') if self.training else 0) for logits in super().forward(x))


def test_answers_that_are_not_numbers_are_not_right():
    *_, report = run_suite(
        [Candidate(network='broken', make=Broken)], SETTINGS, [], parity=lambda _: {}, say=quiet
    )
    assert all(np.isnan(found['float64']) for found in report['errors'].values())
    assert report['right'] is False
