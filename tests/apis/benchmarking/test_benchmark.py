"""The benchmark as its users see it. Networks are tiny; no time is asserted."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from mmdualhead.apis import benchmarking
from mmdualhead.apis.benchmarking import (
    Contestant,
    Settings,
    Shape,
    benchmark,
    networks_of,
    networks_of_file,
    read_accuracies,
    to_dict,
    to_markdown,
    with_empty_bodies,
)
from mmdualhead.apis.benchmarking.lineup import build_fused, build_network
from mmdualhead.apis.benchmarking.memory import peak_memory
from mmdualhead.apis.benchmarking.session import Session, make_clips
from mmdualhead.visualization.cost_picture import draw_costs
from tests.models.networks import small_dualhead_config

ROOT = Path(benchmarking.__file__).parents[3]
SETTINGS = Settings(shape=Shape(4, 2, 12, 5), threads=1, repeats=3, warmup=0)
MEGABYTE = 2**20


def quiet(line: str) -> None:
    """Report no progress."""


def tiny() -> list[Contestant]:
    config = small_dualhead_config()
    return [
        Contestant(network='tiny', make=partial(build_network, config)),
        Contestant(network='tiny', form='fused', make=partial(build_fused, config), phases=('eval',)),
    ]


def run(contestants: list[Contestant], settings: Settings = SETTINGS) -> benchmarking.Result:
    return benchmark(contestants, settings, peak=None, say=quiet)


@pytest.fixture(scope='module')
def result():
    return benchmark(
        with_empty_bodies(tiny(), 0.5),
        SETTINGS,
        peak=lambda one, _: dict.fromkeys(one.phases, 1_500_000_000),
        say=quiet,
    )


def test_a_row_for_each_contestant(result):
    plain, fused, half_empty = result.rows
    assert [row.name for row in result.rows] == ['tiny', 'tiny, fused', 'tiny, fused, 50% of bodies empty']
    assert [len(plain.timings[phase].samples) for phase in ('eval', 'train')] == [3, 3]
    assert set(fused.timings) == set(half_empty.timings) == {'eval'}
    assert plain.parameters == sum(p.numel() for p in tiny()[0].make().parameters())
    assert plain.saved_bytes > 0


def test_empty_bodies_cost_nothing(result):
    _, fused, half_empty = result.rows
    classifier = 7 * (48 + 24)
    assert half_empty.macs - classifier == (fused.macs - classifier) / 2


def test_markdown(result):
    head, *_, legend = to_markdown(result).split('\n\n')
    table = to_markdown(result).split('\n\n')[1].splitlines()
    assert head.startswith('**(N, M, T, V) = (4, 2, 12, 5)**')
    assert 'float32' in head
    assert len(table) == 2 + len(result.rows)
    assert len({line.count('|') for line in table}) == 1
    assert 'how many times as fast as tiny.' in legend
    assert table[2].split(' | ')[5] == '1.00'
    assert table[2].endswith('| 1.50 | 1.50 |')
    assert table[3].endswith('| – | 1.50 | – |')


def test_json_holds_every_sample(result):
    found = json.loads(json.dumps(to_dict(result)))
    samples = found['rows'][0]['timings']['train']['samples']
    assert samples == list(result.rows[0].timings['train'].samples)
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
    session = Session(tiny()[0], SETTINGS)
    before = [p.clone() for p in session.network.parameters()]
    session.step()
    assert session.network.training
    assert any((p != old).any() for p, old in zip(session.network.parameters(), before, strict=True))
    session.infer()
    assert not session.network.training


def test_bf16_runs_in_bf16():
    (logits, _) = Session(tiny()[0], replace(SETTINGS, precision='bf16')).infer()
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
    peaks = peak_memory(Contestant(network='hungry', make=Hungry), SETTINGS)
    del ballast
    assert 64 * MEGABYTE <= peaks['eval'] < 200 * MEGABYTE
    assert 320 * MEGABYTE <= peaks['train'] < 500 * MEGABYTE


class TestLineup:
    @pytest.mark.parametrize('joints', [25, 20])
    def test_any_layout_and_number_of_persons(self, joints):
        shape = Shape(1, 1, 8, joints)
        x = make_clips(shape, 3)
        for one in networks_of(shape):
            network = one.make().eval()
            with torch.no_grad():
                assert {logits.shape for logits in network(x)} == {(1, 60)}

    def test_the_networks_have_the_sizes_of_their_papers(self):
        sizes = {
            one.name: sum(p.numel() for p in one.make().parameters()) / 1e6
            for one in networks_of(
                Shape(1, 2, 8, 25), ['DualHead-Net', 'MS-G3D', 'STGCN', 'STGCN++', 'AAGCN']
            )
        }
        expected = {'DualHead-Net': 3.02, 'MS-G3D': 3.20, 'STGCN': 3.10, 'STGCN++': 1.40, 'AAGCN': 3.78}
        assert sizes == pytest.approx(expected, abs=0.01)

    def test_unknown_names_and_layouts(self):
        with pytest.raises(ValueError, match=r"unknown networks \['ST-GCN'\]; known: .*'STGCN'"):
            networks_of(Shape(1, 2, 8, 25), ['ST-GCN'])
        with pytest.raises(ValueError, match='no layout has 26 joints'):
            networks_of(Shape(1, 2, 8, 26))

    def test_config_files(self):
        names = [
            one.name
            for path in ('quickstart_j', 'stgcn_ntu60_xsub_j')
            for one in networks_of_file(ROOT / 'configs' / f'{path}.py')
        ]
        assert names == ['quickstart_j', 'quickstart_j, fused', 'stgcn_ntu60_xsub_j']

    def test_a_config_without_model(self, tmp_path):
        (tmp_path / 'empty.py').write_text('lr = 1')
        with pytest.raises(ValueError, match=r'empty\.py: the config has no model'):
            networks_of_file(tmp_path / 'empty.py')

    def test_a_config_that_cannot_be_built(self, tmp_path):
        (tmp_path / 'odd.py').write_text("model = dict(type='NoSuchNetwork')")
        with pytest.raises(ValueError, match=r'odd\.py: the model cannot be built: .*NoSuchNetwork'):
            networks_of_file(tmp_path / 'odd.py')

    @pytest.mark.parametrize('fraction', [0, 1, 1.5, -0.5])
    def test_share_of_empty_bodies(self, fraction):
        with pytest.raises(ValueError, match='between 0 and 1'):
            with_empty_bodies(tiny(), fraction)


def test_the_last_persons_are_absent():
    x = make_clips(Shape(4, 2, 3, 5), 3, empty_bodies=0.75)
    there = x.ne(0).flatten(2).any(2)
    assert there.tolist() == [[False, False]] * 2 + [[True, False]] * 2


def test_a_network_of_other_clips_is_named():
    with pytest.raises(ValueError, match=r'tiny does not take clips of shape .* \(4, 2, 12, 6\)'):
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


def test_two_contestants_of_one_name():
    with pytest.raises(ValueError, match='different names'):
        run(tiny()[:1] * 2)


def test_the_program_says_what_is_wrong(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', '--shape', '1', '2', '8', '26'])
    with pytest.raises(SystemExit, match='error: no layout has 26 joints'):
        runpy.run_path(str(ROOT / 'tools' / 'benchmark.py'), run_name='__main__')
