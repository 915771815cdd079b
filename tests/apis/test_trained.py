"""Models load from what training leaves behind, without running anything that is in it."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdualhead.apis import SkeletonInferencer
from mmdualhead.apis.packing import pack
from mmdualhead.apis.trained import ModelError, digest, load_trained
from mmdualhead.datasets.converters.utd_mhad import CLASSES
from mmdualhead.errors import UserError
from mmdualhead.utils.command import add_import_option, make_parser
from mmdualhead.utils.plain_config import plain_config
from tests.apis.trained import CONFIGS, save_trained, small_config


def rewrite(checkpoint, target, **meta):
    """The same checkpoint with another meta."""
    content = torch.load(checkpoint, weights_only=True)
    content['meta'] |= meta
    torch.save(content, target)
    return target


def with_config(checkpoint, target, old, new):
    text = torch.load(checkpoint, weights_only=True)['meta']['cfg']
    assert old in text
    return rewrite(checkpoint, target, cfg=text.replace(old, new))


class TestNames:
    def test_of_the_data_set_that_the_config_names(self, checkpoint):
        assert load_trained(checkpoint).classes == CLASSES

    def test_in_the_checkpoint_come_first(self, checkpoint, tmp_path):
        names = [f'mine {i}' for i in range(26)] + [None]
        path = rewrite(checkpoint, tmp_path / 'x.pth', dataset_meta=dict(classes=names))
        assert load_trained(path).classes == (*names[:26], 'class 26')


def test_a_config_as_plain_values_comes_before_its_text(checkpoint, tmp_path):
    config = small_config()
    path = rewrite(checkpoint, tmp_path / 'x.pth', cfg='(', plain_config=plain_config(config))
    assert load_trained(path).stream == load_trained(checkpoint).stream == 'j'


class TestRefused:
    def test_a_config_that_names_a_function(self, checkpoint, tmp_path):
        path = with_config(checkpoint, tmp_path / 'x.pth', "'NormalizeSkeleton3D'", "'os.system'")
        with pytest.raises(ModelError, match=r"names 'os\.system', which is not registered"):
            load_trained(path)

    def test_a_config_that_is_a_program(self, checkpoint, tmp_path):
        path = rewrite(
            checkpoint,
            tmp_path / 'x.pth',
            cfg=f'open({str(tmp_path / "ran")!r}, "w")\nmodel = dict(type=__import__("os").name)',
        )
        with pytest.raises(ModelError, match='has no model'):
            load_trained(path)
        assert not (tmp_path / 'ran').exists()

    @pytest.mark.parametrize(
        ('place', 'value', 'complaint'),
        [
            ('_scope_', 'antigravity', 'import a package'),
            ('backbone._scope_', 'antigravity', 'import a package'),
            ('heads.coarse.type', 'antigravity.x', 'not registered'),
            ('init_cfg', dict(type='Pretrained', checkpoint='x.pth'), 'not registered'),
            ('backbone.pretrained', 'https://example.org/x.pth', 'names the URL'),
            ('graph_cfg.gcn_scales', 10**7, 'at most 10,000'),
            ('graph_cfg.gcn_scales', 2000, 'far larger than its weights'),
            ('backbone.channels', (5000,), 'far larger than its weights|does not build a network'),
            ('cls_head.dropout', float('inf'), 'at most 10,000'),
        ],
    )
    @pytest.mark.fault(
        'config in a checkpoint that imports a module, fetches a URL or builds a network of any size',
        '-',
        'refused, with the key',
    )
    def test_a_config_that_imports_or_builds_without_end(self, checkpoint, tmp_path, place, value, complaint):
        config = small_config()
        config.merge_from_dict({f'model.{place}': value})
        with pytest.raises(ModelError, match=complaint):
            load_trained(rewrite(checkpoint, tmp_path / 'x.pth', plain_config=plain_config(config)))
        assert 'antigravity' not in sys.modules

    @pytest.mark.parametrize('text', ['(' * 10**5, 'a = ' + '-' * 10**5 + '1', '#' * (1 << 21), 'a = 1\0'])
    def test_a_config_of_any_depth(self, checkpoint, tmp_path, text):
        with pytest.raises(ModelError, match='not valid Python'):
            load_trained(rewrite(checkpoint, tmp_path / 'x.pth', cfg=text))

    @pytest.mark.parametrize(
        ('meta', 'message'), [({'cfg': None}, 'contains no config'), ({'cfg': '('}, 'not valid Python')]
    )
    def test_no_config(self, checkpoint, tmp_path, meta, message):
        with pytest.raises(ModelError, match=message):
            load_trained(rewrite(checkpoint, tmp_path / 'x.pth', **meta))

    def test_another_layout(self, checkpoint, tmp_path):
        path = with_config(checkpoint, tmp_path / 'x.pth', "layout='kinect_v1'", "layout='nturgb+d'")
        with pytest.raises(UserError, match=r'does not fit the model .*another layout'):
            load_trained(path)

    def test_weights_that_are_not_finite(self, checkpoint, tmp_path):
        content = torch.load(checkpoint, weights_only=True)
        content['state_dict']['cls_head.linear.fine.bias'][0] = torch.nan
        torch.save(content, tmp_path / 'x.pth')
        with pytest.raises(
            UserError, match=r'x\.pth: 1 weights are not finite, cls_head\.linear\.fine\.bias'
        ):
            load_trained(tmp_path / 'x.pth')

    @pytest.mark.parametrize(
        ('meta', 'complaint'),
        [
            ({'classes': ['a'] * 28}, 'classes: it has 28, but the config in use has 27'),
            (
                {'dataset_meta': {'layout': 'nturgb+d'}},
                r"skeleton: it has layout 'nturgb\+d' \(25 joints\), but the config in use has .*kinect_v1",
            ),
            ({'stream': 'b'}, "stream: it has 'b', but the config in use has 'j'"),
        ],
    )
    @pytest.mark.fault('meta of a checkpoint contradicts its config', '-', 'refused by what answers with it')
    def test_meta_that_contradicts_the_config(self, checkpoint, tmp_path, meta, complaint):
        with pytest.raises(ModelError, match=rf'x\.pth: its meta contradicts its config: {complaint}'):
            load_trained(rewrite(checkpoint, tmp_path / 'x.pth', **meta))

    def test_a_test_of_other_frames_contradicts_nothing(self, checkpoint, tmp_path):
        found = load_trained(checkpoint).input
        trained = replace(found, sampling=replace(found.sampling, clip_len=7))
        other = rewrite(checkpoint, tmp_path / 'x.pth', network_input=trained.to_meta())
        assert load_trained(other).input == found

    def test_a_pickle_that_is_a_program(self, tmp_path):
        torch.save({'state_dict': {}, 'x': tmp_path}, tmp_path / 'x.pth')
        with pytest.raises(UserError, match='contains code'):
            load_trained(tmp_path / 'x.pth')

    def test_a_truncated_file(self, checkpoint, tmp_path):
        (tmp_path / 'x.pth').write_bytes(checkpoint.read_bytes()[:1000])
        with pytest.raises(UserError, match='damaged'):
            load_trained(tmp_path / 'x.pth')

    @pytest.mark.parametrize(
        ('model', 'message'),
        [
            ('nothere.pth', 'does not exist'),
            ('nothere.py', 'nor the name of a config'),
            ('no_such_config', 'nor the name of a config'),
            ('work_dirs/dualhead_utd_mhad_j', 'neither a file, a work dir nor'),
            ('.', 'contains no checkpoint'),
        ],
    )
    def test_what_is_not_there(self, tmp_path, model, message, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(FileNotFoundError, match=message):
            load_trained(model)


class TestPacking:
    def test_a_packed_model_answers_nearly_the_same(self, checkpoint, tmp_path, recording):
        meta = pack(checkpoint, tmp_path / 'small.pth', accuracy=0.9)
        assert meta['stream'] == 'j'
        assert meta['layout'] == 'kinect_v1'
        answers = [
            SkeletonInferencer(path, device='cpu')(recording())['predictions'][0].scores['fused']
            for path in (checkpoint, tmp_path / 'small.pth')
        ]
        assert abs(answers[0] - answers[1]).max() < 0.01
        assert (tmp_path / 'small.pth').stat().st_size < 0.7 * checkpoint.stat().st_size
        assert 'top-1 90.0 %' in load_trained(tmp_path / 'small.pth').describe()

    @pytest.mark.fault(
        'a model is packed whose running variance is beyond half precision',
        '-',
        'kept in full; the packed file answers',
    )
    def test_large_numbers_stay_finite(self, checkpoint, tmp_path):
        content = torch.load(checkpoint, weights_only=True)
        content['state_dict']['backbone.data_norm.running_var'][0] = 1e6
        torch.save(content, tmp_path / 'large.pth')
        pack(tmp_path / 'large.pth', tmp_path / 'small.pth')
        packed = load_trained(tmp_path / 'small.pth').network.state_dict()
        assert packed['backbone.data_norm.running_var'][0] == 1e6

    def test_changed_weights_are_noticed(self, checkpoint, tmp_path):
        pack(checkpoint, tmp_path / 'small.pth')
        content = torch.load(tmp_path / 'small.pth', weights_only=True)
        assert content['meta']['sha256'] == digest(content['state_dict'])
        content['state_dict']['cls_head.linear.fine.bias'][3] += 1
        torch.save(content, tmp_path / 'small.pth')
        with pytest.raises(ModelError, match='its weights are not those it was packed with'):
            load_trained(tmp_path / 'small.pth')

    def test_accuracy_is_a_fraction(self, checkpoint, tmp_path):
        with pytest.raises(ValueError, match='expected a fraction'):
            pack(checkpoint, tmp_path / 'small.pth', accuracy=93.5)


@pytest.mark.parametrize('name', ['dualhead_ntu60_xsub_j', 'stgcn_ntu60_xsub_j'])
def test_other_configs_and_networks_answer(tmp_path, name):
    """Two persons, MMAction2's steps, and a network without attention."""

    is_ours = name.startswith('dualhead')
    config = small_config(name) if is_ours else Config.fromfile(CONFIGS / f'{name}.py')
    for step in config.test_pipeline:
        if step['type'] == 'PadTo':
            step['length'] = 20
    with DefaultScope.overwrite_default_scope('mmaction'):
        network = MODELS.build(config.model)
    path = tmp_path / 'x.pth'
    torch.save(dict(meta=dict(cfg=config.pretty_text), state_dict=network.state_dict()), path)
    clip = np.random.default_rng(0).normal(size=(2, 30, 25, 3))
    (answer,) = SkeletonInferencer(path, device='cpu')(clip, unit='m')['predictions']
    np.testing.assert_array_equal(answer.frames, np.arange(20)[None])
    assert len(answer.classes) == 60
    assert answer.classes[0] == 'drink water'
    assert (answer.when is not None) == (answer.where is not None) == is_ours


def test_clips_of_a_class_may_be_many(tmp_path):
    """As the focal loss of MMAction2 is told them; a network becomes no larger by that."""
    config = small_config()
    counts = [20_000] * config.model.cls_head.num_classes
    loss = dict(type='CBFocalLoss', samples_per_cls=counts)
    config.model.cls_head.update(label_smooth_eps=0.0, loss_cls=loss)
    model = load_trained(save_trained(tmp_path / 'model.pth', config), device='cpu')
    assert model.network.cls_head.loss_cls.samples_per_cls == counts


OWN_PART = """
from mmaction.registry import TRANSFORMS

@TRANSFORMS.register_module()
class MyStep:
    network_input = {}

    def __call__(self, results):
        return results
"""


def test_parts_of_ones_own_are_named_and_imported(checkpoint, tmp_path, monkeypatch):
    (tmp_path / 'my_own_step.py').write_text(OWN_PART)
    config = small_config()
    config.custom_imports = dict(imports=['mmdualhead', 'my_own_step'], allow_failed_imports=False)
    config.test_pipeline.insert(0, dict(type='MyStep'))
    path = rewrite(checkpoint, tmp_path / 'x.pth', plain_config=plain_config(config))
    with pytest.raises(ModelError, match=r"'MyStep', which is not registered; .* by --import my_own_step$"):
        load_trained(path)
    monkeypatch.chdir(tmp_path)
    parser = make_parser('A program.')
    add_import_option(parser)
    parser.parse_args(['--import', 'my_own_step'])
    assert load_trained(path, device='cpu').classes == CLASSES
    pack(path, tmp_path / 'small.pth')
    assert 'my_own_step' in torch.load(tmp_path / 'small.pth', weights_only=True)['meta']['cfg']


def test_a_config_of_classes(checkpoint, tmp_path):
    """Whose types a checkpoint has as dotted names, as those of a new-style config."""
    config = small_config()
    config.model.attentions.temporal.type = 'mmdualhead.models.TemporalAttention'
    config.test_pipeline[0].type = 'mmdualhead.datasets.transforms.normalize.NormalizeSkeleton3D'
    path = rewrite(checkpoint, tmp_path / 'x.pth', plain_config=plain_config(config))
    assert load_trained(path, device='cpu').input.normalization == '3d'


def test_the_scale_of_the_training_clips_travels(checkpoint, tmp_path, recording):
    trained = replace(load_trained(checkpoint, device='cpu').input, scale=0.3)
    path = rewrite(checkpoint, tmp_path / 'x.pth', network_input=trained.to_meta())
    pack(path, tmp_path / 'small.pth')
    for one in (path, tmp_path / 'small.pth'):
        inferencer = SkeletonInferencer(one, device='cpu')
        assert inferencer.models[0].input.scale == 0.3
        clip = dict(keypoint=1000 * recording()[None], label=0)
        result = inferencer([clip, recording()], on_error='skip')
        assert 'compared with the clips' in result['left_out']['input 0']
