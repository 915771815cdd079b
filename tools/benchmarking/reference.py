"""The equations of the paper written down plainly, as functions of a state dict of the authors'.

Slow on purpose: windows are unfolded, every branch is its own convolution, all in (N, C, T, V). The package
is compared with it, for parity and for speed.

N clips times persons, C channels, T frames, V joints, K scales, W frames in a window. ``p`` maps the authors'
keys to tensors, ``key`` is the prefix of a part.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdualhead.skeletons import get_skeleton

FIXTURES = Path(__file__).parent / 'fixtures'
SEED = 20211020
Params = Mapping[str, Tensor]


def fill(shapes: Mapping[str, list[int]], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """The fixtures' weights, single precision: every tensor drawn from a generator seeded with its key."""
    return {key: torch.from_numpy(_draw(key, shape)).float().to(dtype) for key, shape in shapes.items()}


def _draw(key: str, shape: list[int]) -> np.ndarray:
    noise = np.asarray(
        np.random.RandomState((zlib.crc32(key.encode()) ^ SEED) & 0xFFFFFFFF).standard_normal(shape)
    )
    if key.endswith('num_batches_tracked'):
        return np.zeros(shape)
    if key.endswith('running_mean'):
        return 0.1 * noise
    if key.endswith('running_var'):
        return 1 + 0.1 * np.abs(noise)
    if key.endswith('A_res'):
        return 0.01 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise if key.endswith('weight') else 0.1 * noise
    return noise / np.sqrt(np.prod(shape[1:]))


def authors_shapes(name: str) -> dict[str, list[int]]:
    """The shape of every entry of the authors' state dict, by key."""
    return json.loads((FIXTURES / f'{name}.keys.json').read_text())


def fixture_input(num_frames: int, num_joints: int) -> Tensor:
    """(2, 2, T, V, 3); the second clip has one person."""
    x = np.random.RandomState(SEED).standard_normal((2, 2, num_frames, num_joints, 3)).astype('float32')
    x[1, 1] = 0
    return torch.from_numpy(x).double()


def k_hop(adjacency: np.ndarray, num_scales: int) -> Tensor:
    """D^-1/2 A^(k) D^-1/2 for k = 0..K-1, (K, V, V); A^(k) joins nodes exactly k hops apart, and i to i."""
    identity = np.eye(len(adjacency))
    reach = [(np.linalg.matrix_power(adjacency + identity, k) > 0).astype(float) for k in range(num_scales)]
    rings = [identity] + [far - near + identity for near, far in itertools.pairwise(reach)]
    # The authors' networks store this in single precision, with 6^-1/2 and 7^-1/2 one unit off.
    roots = [(1 / np.sqrt(r.sum(1))).astype('float32') for r in rings]
    for r, root in zip(rings, roots, strict=True):
        root[r.sum(1) == 6] = np.nextafter(np.float32(6**-0.5), np.float32(0))
        root[r.sum(1) == 7] = np.nextafter(np.float32(7**-0.5), np.float32(1))
    scaled = [d[:, None].astype(float) * r * d[None] for d, r in zip(roots, rings, strict=True)]
    return torch.from_numpy(np.stack(scaled)).float()


def adjacency_matrix(layout: str) -> np.ndarray:
    """(V, V), 1 where a bone joins two joints."""
    skeleton = get_skeleton(layout)
    matrix = np.zeros((skeleton.num_joints,) * 2)
    for a, b in skeleton.edges:
        matrix[a, b] = matrix[b, a] = 1
    return matrix


class Reference:
    """DualHead-Net or MS-G3D over the authors' weights.

    Args:
        p: the authors' state dict.
        layout: joint layout.
        gcn_scales, g3d_scales: K of the two graph convolutions.
        training: batch statistics instead of running ones.
    """

    def __init__(self, p: Params, layout: str, gcn_scales: int, g3d_scales: int, training: bool = False):
        self.p = p
        self.training = training
        first = next(v for v in p.values() if v.is_floating_point())
        matrix = adjacency_matrix(layout)
        window_matrix = matrix + np.eye(len(matrix))
        self.spatial = k_hop(matrix, gcn_scales).to(first)
        self.windowed = {w: k_hop(np.tile(window_matrix, (w, w)), g3d_scales).to(first) for w in (3, 5)}

    def has(self, prefix: str) -> bool:
        """True if the network has a part of this name."""
        return any(key.startswith(prefix) for key in self.p)

    def bn(self, key: str, x: Tensor) -> Tensor:
        """Batch norm; the running statistics are not updated."""
        p = self.p
        mean, var = p[f'{key}.running_mean'], p[f'{key}.running_var']
        return F.batch_norm(x, mean.clone(), var.clone(), p[f'{key}.weight'], p[f'{key}.bias'], self.training)

    def conv(self, key: str, x: Tensor, **kwargs: Any) -> Tensor:
        """Convolution in as many dimensions as its weight has."""
        weight = self.p[f'{key}.weight']
        conv = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[weight.dim()]
        return conv(x, weight, self.p[f'{key}.bias'], **kwargs)

    def layer(self, key: str, x: Tensor) -> Tensor:
        """1x1 convolution and BN."""
        return self.bn(f'{key}.layers.1', self.conv(f'{key}.layers.0', x))

    def aggregate(self, adjacency: Tensor, residual: Tensor, x: Tensor) -> Tensor:
        """Scales of the neighborhood, stacked over channels scale-major: (N, K * C, T, V)."""
        scales, nodes, _ = adjacency.shape
        n, c, t, _ = x.shape
        matrix = adjacency.reshape(scales * nodes, nodes) + residual
        y = torch.einsum('vu,nctu->nctv', matrix, x).view(n, c, t, scales, nodes)
        return y.permute(0, 3, 1, 2, 4).reshape(n, scales * c, t, nodes)

    def ms_gcn(self, key: str, x: Tensor) -> Tensor:
        """Eq. (1)."""
        return self.layer(f'{key}.mlp', self.aggregate(self.spatial, self.p[f'{key}.A_res'], x)).relu()

    def ms_g3d(self, key: str, x: Tensor, window: int, stride: int) -> Tensor:
        """Eq. (1) on the graph of W frames' joints, then one convolution over the window."""
        n, c, _, v = x.shape
        pad = (window - 1) // 2
        unfolded = F.unfold(x, (window, 1), stride=(stride, 1), padding=(pad, 0))
        x = unfolded.view(n, c, window, -1, v).permute(0, 1, 3, 2, 4).reshape(n, c, -1, window * v)
        x = self.aggregate(self.windowed[window], self.p[f'{key}.gcn3d.1.A_res'], x)
        x = self.layer(f'{key}.gcn3d.1.mlp', x).relu()
        n, c, t, _ = x.shape
        x = self.conv(f'{key}.out_conv', x.view(n, c, t, window, v)).squeeze(3)
        return self.bn(f'{key}.out_bn', x)

    def ms_tcn(self, key: str, x: Tensor, stride: int = 1, relu: bool = True) -> Tensor:
        """Eq. (2)."""
        branches = []
        num = len({k[len(key) :].split('.')[2] for k in self.p if k.startswith(f'{key}.branches.')})
        for i in range(num - 1):
            branch = f'{key}.branches.{i}'
            y = self.bn(f'{branch}.1', self.conv(f'{branch}.0', x)).relu()
            if i < num - 2:
                y = self.conv(
                    f'{branch}.3.conv', y, stride=(stride, 1), padding=(i + 1, 0), dilation=(i + 1, 1)
                )
                branches.append(self.bn(f'{branch}.3.bn', y))
            else:
                y = F.max_pool2d(y, (3, 1), (stride, 1), (1, 0))
                branches.append(self.bn(f'{branch}.4', y))
        plain = f'{key}.branches.{num - 1}'
        branches.append(self.bn(f'{plain}.1', self.conv(f'{plain}.0', x, stride=(stride, 1))))
        y = torch.cat(branches, 1)
        if self.has(f'{key}.residual'):
            x = self.bn(f'{key}.residual.bn', self.conv(f'{key}.residual.conv', x, stride=(stride, 1)))
        return (y + x).relu() if relu else y + x

    def block(self, number: int, x: Tensor, stride: int, head: str = '') -> Tensor:
        """STGC block: the windowed paths and the factorized one, summed, then MS-TCN."""
        sgcn = f'sgcn{number}{head}'
        y = self.ms_tcn(f'{sgcn}.1', self.ms_gcn(f'{sgcn}.0', x), stride)
        y = self.ms_tcn(f'{sgcn}.2', y, relu=False)
        for i, window in enumerate((3, 5)):
            path = f'gcn3d{number}{head}.gcn3d.{i}'
            if self.has(path + '.'):
                y = y + self.ms_g3d(path, x, window, stride)
        return self.ms_tcn(f'tcn{number}{head}', y.relu())

    def data_bn(self, x: Tensor) -> Tensor:
        """Batch norm of each person, joint and coordinate: (N, M, T, V, C) to (N * M, C, T, V)."""
        n, m, t, v, c = x.shape
        x = self.bn('data_bn', x.permute(0, 1, 3, 4, 2).reshape(n, m * v * c, t))
        return x.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)

    def classify(self, key: str, x: Tensor, num_persons: int) -> Tensor:
        """Logits of the mean over frames, joints and persons."""
        pooled = x.mean((2, 3)).view(-1, num_persons, x.shape[1]).mean(1)
        return F.linear(pooled, self.p[f'{key}.weight'], self.p[f'{key}.bias'])

    def temporal_attention(self, number: str, fine: Tensor, coarse: Tensor) -> Tensor:
        """Eqs. (8), (9)."""
        mask = self.conv(f'conv_ta_fine_to_coarse_block_{number}', fine.mean(3), padding=4).sigmoid()
        return coarse + coarse * mask.unsqueeze(3)

    def spatial_attention(self, number: str, coarse: Tensor, fine: Tensor) -> Tensor:
        """Eqs. (10), (11)."""
        key = f'conv_sa_coarse_to_fine_block_{number}'
        pad = (self.p[f'{key}.weight'].shape[2] - 1) // 2
        mask = self.conv(key, coarse.mean(2), padding=pad).sigmoid()
        return fine + fine * mask.unsqueeze(2)

    def dualhead(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the coarse and the fine head for x (N, M, T, V, C)."""
        persons = x.shape[1]
        base = self.block(1, self.data_bn(x), 1)
        fine, coarse = self.conv('embed_fine', base), base[:, :, ::2]
        fine = self.block(2, fine, 2, '_fine')
        coarse = self.temporal_attention('2_to_1', fine, coarse)
        coarse = self.block(2, coarse, 2, '_coarse')
        fine = self.spatial_attention('2_to_2', coarse, fine)
        fine = self.block(3, fine, 2, '_fine')
        coarse = self.temporal_attention('3_to_2', fine, coarse)
        coarse = self.block(3, coarse, 2, '_coarse')
        fine = self.spatial_attention('3_to_3', coarse, fine)
        return self.classify('fc_coarse', coarse, persons), self.classify('fc_fine', fine, persons)

    def msg3d(self, x: Tensor) -> Tensor:
        """Logits of the MS-G3D baseline."""
        persons = x.shape[1]
        x = self.data_bn(x)
        for number, stride in ((1, 1), (2, 2), (3, 2)):
            x = self.block(number, x, stride)
        return self.classify('fc', x, persons)


class ReferenceNetwork(nn.Module):
    """DualHead-Net for NTU RGB+D by these equations, with the weights of the fixture, for benchmarks."""

    def __init__(self) -> None:
        super().__init__()
        for key, tensor in fill(authors_shapes('dualhead_ntu60'), torch.float32).items():
            name = key.replace('.', '/')
            if 'running' in key or 'num_batches' in key:
                self.register_buffer(name, tensor)
            else:
                self.register_parameter(name, nn.Parameter(tensor))
        self._bind()

    def _bind(self) -> None:
        tensors = (*self.named_parameters(), *self.named_buffers())
        weights = {name.replace('/', '.'): tensor for name, tensor in tensors}
        self.equations = Reference(weights, 'nturgb+d', 9, 6)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ReferenceNetwork:
        """As in every module; the equations move to the new device or type as well."""
        super()._apply(fn, recurse)
        self._bind()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the coarse and the fine head for x (N, M, T, V, C)."""
        self.equations.training = self.training
        return self.equations.dualhead(x)
