from mmengine.config import Config
from torch import nn

from mmdualhead.utils.plain_config import plain_config, saved_config

CONFIG = dict(
    model=dict(type='Net', channels=(1, 2)),
    train_dataloader=dict(dataset=dict(pipeline=[dict(type='SkeletonStream', stream='bm', x=-0.5)])),
    other=1,
)


def test_what_is_kept_is_read_back():
    kept = plain_config({**CONFIG, 'model': {'type': nn.Linear, 'channels': (1, 2)}})
    assert saved_config({'plain_config': kept}) == kept
    assert kept['model'] == {'type': 'Linear', 'channels': [1, 2]}
    assert 'other' not in kept


def test_a_dumped_config_is_read_from_its_text():
    read = saved_config({'cfg': Config(CONFIG).pretty_text})
    assert plain_config(read) == plain_config(CONFIG)
    assert saved_config({}) == {}


def test_reading_executes_nothing(tmp_path):
    lines = (
        'a = 1',
        f'open({str(tmp_path / "pwned")!r}, "w")',
        'b = dict(x=__import__("os").getcwd())',
        'c = [dict(y=-2.5)]',
    )
    assert saved_config({'cfg': '\n'.join(lines)}) == {'a': 1, 'c': [{'y': -2.5}]}
    assert not list(tmp_path.iterdir())
