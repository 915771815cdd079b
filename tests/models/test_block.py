"""The STGC block: recomputing changes what is kept, nothing else."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdualhead.models.block import SkeletonGraph, STGCBlock

ROOT = Path(__file__).parents[2]
GRAPH = SkeletonGraph(
    layout=dict(joints=5, bones=[(1, 0), (2, 1), (3, 1), (4, 0)]), gcn_scales=3, g3d_scales=2
)


def make(recompute: bool = False, **kwargs) -> STGCBlock:
    torch.manual_seed(0)
    return STGCBlock(12, 24, GRAPH, stride=2, recompute=recompute, **kwargs).double()


def step(block: STGCBlock, x: torch.Tensor) -> tuple[torch.Tensor, dict, dict]:
    out = block(x)
    out.square().sum().backward()
    gradients = {name: p.grad for name, p in block.named_parameters()}
    return out, gradients, dict(block.named_buffers())


def test_recomputing_gives_the_same_step():
    x = torch.randn(3, 12, 9, 5, dtype=torch.float64)
    for plain, again in zip(step(make(), x), step(make(recompute=True), x), strict=True):
        torch.testing.assert_close(again, plain)


def saved_bytes(block: STGCBlock, x: torch.Tensor) -> int:
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        block(x)
    return sum(kept.values())


def test_recomputing_keeps_less():
    x = torch.randn(3, 12, 60, 5, dtype=torch.float64)
    assert saved_bytes(make(recompute=True), x) < 0.5 * saved_bytes(make(), x)


def test_no_windows_leaves_the_factorized_path():
    block = make(windows=()).eval()
    x = torch.randn(1, 12, 8, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x), block.fuse_paths(block.factorized(x).relu()))


def test_a_window_may_be_a_single_frame():
    """Such a pathway sees no other frame than those that the stride leaves."""
    (pathway,) = make(windows=(1,)).eval().windowed
    x = torch.randn(1, 12, 8, 5, dtype=torch.float64)
    torch.testing.assert_close(pathway(x)[:, :, 1:2], pathway(x[:, :, 2:3]))


def test_persons_do_not_see_each_other_in_eval_mode():
    block = make().eval()
    x = torch.randn(3, 12, 8, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x)[1:2], block(x[1:2]))


def test_unknown_layout():
    with pytest.raises(ValueError, match='unknown skeleton layout'):
        STGCBlock(3, 12, SkeletonGraph(layout='ntu'))


def test_the_default_graph_is_that_of_the_paper_s_config():
    config = Config.fromfile(ROOT / 'configs' / 'dualhead_ntu60_xsub_j.py')
    assert SkeletonGraph() == SkeletonGraph(**config.model.graph_cfg)


def test_a_block_keeps_all_frames_by_default():
    assert STGCBlock(3, 12, GRAPH)(torch.randn(1, 3, 7, 5)).shape == (1, 12, 7, 5)


def test_a_copied_block_is_a_block_of_its_own():
    block = make()
    twin = copy.deepcopy(block)
    with torch.no_grad():
        twin.factorized[0].conv.weight.zero_()
    assert block.factorized[0].conv.weight.abs().sum() > 0
