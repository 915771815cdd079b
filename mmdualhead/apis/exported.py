"""A trained model and what of its pipeline can be computed with it, as one function without branches on data.

N recordings, S samples of each, P persons in a recording and M in the network, T frames of a recording and T'
of a sample, V joints, C coordinates, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmaction.models import STGCN, GCNHead
from torch import Tensor, nn

from mmdualhead.apis.forward import Masks, recorded
from mmdualhead.apis.trained import ModelError, TrainedModel
from mmdualhead.datasets.transforms.normalize import AWAY, FIT, PRESENT, TINY, reference_joints, turns
from mmdualhead.datasets.transforms.sampling import fixed_indices
from mmdualhead.evaluation.scores import FUSED
from mmdualhead.models.backbone import input_shape_of
from mmdualhead.models.fused import can_fuse, fuse
from mmdualhead.models.norm import affine
from mmdualhead.network_input import GEN_SKE_FEATS, NetworkInput
from mmdualhead.skeletons import Skeleton

PRE_NORMALIZE = 'without main person'
"""The frames that MMAction2's ``PreNormalize3D`` leaves out, which distinguishes it from ours."""


def takes_joints(network_input: NetworkInput) -> bool:
    """Whether the file takes joints as they were recorded, since it can do what the pipeline does.

    If not, because of a step or a stream of a user's own for instance, it takes what the pipeline gives, a
    sample as a recording.
    """
    sampling = network_input.sampling
    return (
        not network_input.other_steps
        and network_input.normalization in ('', '2d', '3d')
        and {*network_input.stream.split('+')} <= GEN_SKE_FEATS
        and None in (sampling.length, sampling.clip_len)
    )


def sampling_of(network_input: NetworkInput) -> dict[str, int | None]:
    """How frames are sampled before the file: ``length`` of a clip that is played again until it is full, or
    ``clip_len``, ``num_clips`` and ``seed`` of uniform samples, or nothing.
    """
    sampling = network_input.sampling
    if not takes_joints(network_input):
        return {}
    if sampling.clip_len is not None:
        return dict(clip_len=sampling.clip_len, num_clips=sampling.num_clips, seed=sampling.seed)
    return {} if sampling.length is None else dict(length=sampling.length)


def sampled_frames(network_input: NetworkInput, total: int) -> np.ndarray:
    """Which of T frames the samples see, (S, T')."""
    sampling: dict[str, Any] = sampling_of(network_input)
    if 'clip_len' in sampling:
        return fixed_indices(total, **sampling).reshape(sampling['num_clips'], -1)
    return np.arange(sampling.get('length', total))[None] % total


class Normalize(nn.Module):
    """:func:`~mmdualhead.datasets.transforms.normalize.normalize_clip` of a batch, but no frame is dropped:
    (N, P, T, V, 3) -> the same, main persons first.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.needed = reference_joints(skeleton)
        self.center = self.needed[0]
        self.turns = turns(skeleton)
        for i, turn in enumerate(self.turns):
            self.register_buffer(f'axis_{i}', torch.as_tensor(turn.axis, dtype=torch.float32))
            self.register_buffer(f'spare_{i}', torch.as_tensor(turn.spare, dtype=torch.float32))
        self.hip = self.turns[0].start if skeleton.up else self.center
        bones = np.array(skeleton.bones, int).reshape(-1, 2).T
        self.register_buffer('bones', torch.as_tensor(bones))
        self.register_buffer('own', torch.as_tensor((bones == self.center).any(0)))
        self.register_buffer('of_hip', torch.as_tensor((bones == self.hip).any(0)))
        self.register_buffer('is_hip', torch.arange(skeleton.num_joints) == self.hip)
        # (u @ crossing)[3 * i + j] is the matrix that forms the cross product of u with a vector.
        crossing = np.cross(np.eye(3)[:, None], np.eye(3)[None]).transpose(0, 2, 1).reshape(3, 9)
        self.register_buffer('crossing', torch.as_tensor(crossing, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Recordings (N, P, T, V, 3) with main persons first, centered and turned as one frame says."""
        _, persons, frames, joints, _ = x.shape
        present = x.abs().flatten(3).amax(3) > PRESENT
        x = self.off_origin(x, present)
        main = present.int().sum(2).argmax(1, keepdim=True)
        # The main person changes places with those before it, who move up.
        place = torch.arange(persons)
        order = torch.where(place == 0, main, place - (place <= main).long())
        row = _rows(main, persons)
        present = present.flatten(0, 1).index_select(0, row)
        there = self.there(x.flatten(0, 1).index_select(0, row))
        found = there.int().sum(2) + len(self.needed) * there[:, :, 0].int()
        first = torch.where(present, found + 1, 0).argmax(1, keepdim=True)
        x = x.flatten(0, 1).index_select(0, _rows(order, persons))
        reference = x.flatten(0, 1).index_select(0, _rows(first, persons * frames))
        there = there.flatten(0, 1).index_select(0, _rows(first, frames))

        center = reference[:, self.center : self.center + 1]
        reference = (reference - center) * _there(reference)
        turn = torch.eye(3)
        for i, (start, end, *_) in enumerate(self.turns):
            known = there[:, self.needed.index(start)] & there[:, self.needed.index(end)]
            vector = (reference[:, end] - reference[:, start]) * known[:, None]
            vector = (turn @ vector[:, :, None]).squeeze(2)
            axis, spare = getattr(self, f'axis_{i}'), getattr(self, f'spare_{i}')
            turn = self.rotation_onto(vector, axis, spare) @ turn
        x = x.unflatten(0, (-1, persons)).flatten(1, 3)
        return (((x - center) * _there(x)) @ turn.transpose(-1, -2)).unflatten(1, (persons, -1, joints))

    def off_origin(self, x: Tensor, present: Tensor) -> Tensor:
        """Recordings, moved as _offset says if they are relative to a hip that would be taken for missing."""
        if self.hip == self.center:
            return x
        there = x.abs().amax(4) > 0
        absent = there.flatten(1, 2).int().amax(1) == 0
        is_relative = (absent == self.is_hip).all(1)
        plausible = self.at_origin(x.flatten(1, 2), self.of_hip) | ~present.flatten(1)
        is_moved = (is_relative & plausible.all(1))[:, None, None, None]
        there = there | (present[:, :, :, None] & self.is_hip)
        return x + AWAY * (there & is_moved).to(x.dtype)[..., None]

    def at_origin(self, person: Tensor, own: Tensor) -> Tensor:
        """In which frames a joint of some bones is plausible at zero (N, T), of persons (N, T, V, 3)."""
        there = person.abs().amax(3) > 0
        child, parent = (there.index_select(2, ends) for ends in self.bones)
        bones = person.index_select(2, self.bones[0]) - person.index_select(2, self.bones[1])
        lengths = bones.square().sum(3).sqrt()
        # As _at_origin of the package's normalization.
        both = (child & parent).to(lengths.dtype)
        usual = (lengths * both).sum(1, keepdim=True) / both.sum(1, keepdim=True).clamp(min=1)
        longest = usual.amax(2, keepdim=True)
        longest = torch.where(usual > 0, usual, torch.where(longest > 0, longest, torch.inf))
        fits = (lengths <= FIT * longest) & (FIT * lengths >= usual)
        ends = (child | parent) & own
        return ends.any(2) & (fits | ~ends).all(2)

    def there(self, person: Tensor) -> Tensor:
        """Which of the J joints that the reference needs are there (N, T, J), of persons (N, T, V, 3)."""
        there = person.abs().amax(3) > 0
        centered = self.at_origin(person, self.own)
        needed = [there[:, :, joint : joint + 1] for joint in self.needed]
        return torch.cat([needed[0] | centered[:, :, None], *needed[1:]], 2)

    def rotation_onto(self, vector: Tensor, axis: Tensor, spare: Tensor) -> Tensor:
        """The rotations that turn vectors (N, 3) onto an axis by the shortest way (Rodrigues), (N, 3, 3)."""
        unit = vector / vector.norm(dim=1, keepdim=True).clamp(min=TINY)
        normal = ((unit @ self.crossing).unflatten(1, (3, 3)) @ axis[:, None]).squeeze(2)
        cosine, sine = (unit @ axis)[:, None, None], normal.norm(dim=1)[:, None, None]
        normal = torch.where(sine[:, 0] < TINY, spare, normal / sine[:, 0].clamp(min=TINY))
        cross = (normal @ self.crossing).unflatten(1, (3, 3))
        along = normal[:, :, None] * normal[:, None]
        turn = cosine * torch.eye(3) + sine * cross + (1 - cosine) * along
        return torch.where(vector.abs().sum(1)[:, None, None] < TINY, torch.eye(3), turn)


class PreNormalize(Normalize):
    """MMAction2's ``PreNormalize3D``, which takes the first frame of the main person, whatever it lacks."""

    def off_origin(self, x: Tensor, present: Tensor) -> Tensor:  # noqa: ARG002
        """Recordings as they are."""
        return x

    def there(self, person: Tensor) -> Tensor:
        """All joints, always."""
        return torch.ones_like(person[:, :, self.needed, 0]).bool()


class GraphUnit(nn.Module):
    """MMAction2's graph convolution without reading sizes, which would be constants of the traced graph."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit
        matrices = {'offset': lambda: unit.A + unit.PA, 'importance': lambda: unit.A * unit.PA}
        self.register_buffer('matrices', matrices.get(unit.adaptive, lambda: unit.A)().detach())

    def forward(self, x: Tensor) -> Tensor:
        unit = self.unit
        rest = unit.down(x) if unit.with_res else 0
        if unit.conv_pos == 'pre':
            parts = unit.conv(x).chunk(len(self.matrices), 1)
            y = sum(part @ matrix for part, matrix in zip(parts, self.matrices, strict=True))
        else:
            y = unit.conv(torch.cat([x @ matrix for matrix in self.matrices], 1))
        return unit.act(unit.bn(y) + rest)


class ExportedNetwork(nn.Module):
    """A trained model as one function of joints, without branches on data.

    Args:
        model: a DualHead-Net, MS-G3D or CTR-GCN, or MMAction2's ST-GCN or ST-GCN++.

    Shape:
        joints (N, P, T, V, C), and the frames that each sample sees, (N, S, T') integers -> a tuple in the
        order of :attr:`outputs`: the probabilities of the fused score and of each head, (N, K), means over
        samples; and, as far as the model has them, the attentions, means over blocks and the persons
        present: of the samples' frames (N, S, T') and of joints (N, V).

    Raises:
        ModelError: it is another network.
        IndexError: at use, a recording lacks one of the frames; onnxruntime raises an error of its own.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        network = model.network
        heads = tuple(getattr(network, 'heads', ()))
        backbone: Any = getattr(network, 'backbone', None)
        self.is_theirs = type(backbone) is STGCN and isinstance(backbone.data_bn, nn.BatchNorm1d)
        if not (can_fuse(network) or self.is_theirs) or not (heads or type(network.cls_head) is GCNHead):
            names = 'DualHead-Net, MS-G3D, CTR-GCN, ST-GCN and ST-GCN++'
            raise ModelError(f'{model.source}: only {names} can be exported')
        self.model = model
        self.network = (copy.deepcopy(network).eval() if self.is_theirs else fuse(network).recognizer).cpu()
        backbone = self.network.backbone
        self.blocks = nn.Sequential(*backbone.gcn) if self.is_theirs else backbone.blocks
        for block in self.blocks if self.is_theirs else ():
            block.gcn = GraphUnit(block.gcn)
        self.takes_joints = takes_joints(model.input)
        self.stream = tuple(model.stream.split('+')) if self.takes_joints else ('j',)
        is_turned = self.takes_joints and model.input.needs_depth
        kind = PreNormalize if model.input.dropped_frames == PRE_NORMALIZE else Normalize
        self.normalize = kind(model.skeleton) if is_turned else nn.Identity()
        # ST-GCN takes any number of persons, so the pipeline determines it.
        sizes = (size or model.num_person or 0 for size in input_shape_of(backbone))
        self.num_person, joints, channels = sizes
        self.input_joints = (joints, channels // len(self.stream))
        self.scored = model.skeleton.flat and self.input_joints[1] == 3
        norm = backbone.data_bn if self.is_theirs else backbone.data_norm
        for name, values in zip(
            ('scale', 'shift'), affine(norm, norm.running_mean, norm.running_var), strict=True
        ):
            self.register_buffer(name, values.view(-1, joints, channels))
        self.register_buffer('parents', torch.as_tensor(np.asarray(model.skeleton.parents)))
        self.heads = heads
        with torch.no_grad(), recorded(self.network) as masks:
            self._logits(torch.zeros(1, 16, self.num_person, joints, channels))
        attentions = (('frame_attention', masks.temporal), ('joint_attention', masks.spatial))
        scores = [f'{name}_score' for name in (FUSED, *self.heads)]
        self.outputs = (*scores, *(name for name, found in attentions if found))

    def forward(self, joints: Tensor, frames: Tensor) -> tuple[Tensor, ...]:
        """The outputs for recordings (N, P, T, V, C), of which the samples see the frames (N, S, T')."""
        # Sizes are read from the inputs alone: of anything else the exporter may take one for constant.
        total, samples, length = joints.shape[2], frames.shape[1], frames.shape[2]
        x = self.normalize(joints).transpose(1, 2)
        is_sampled_first = self.model.input.sampling.before_stream
        x = x if is_sampled_first else self._form(x)
        frames = frames.flatten(1)
        # A frame that a recording lacks would be one of its neighbor; a row that there is not is an error.
        outside = ((frames < 0) | (frames >= total)).flatten()
        rows = torch.where(outside, total * frames.shape[0], _rows(frames, total))
        x = x.flatten(0, 1).index_select(0, rows).unflatten(0, (-1, length))
        x = self._form(x) if is_sampled_first else x
        x = torch.cat([x, *[x[:, :, :1] * 0] * self.num_person], 2)[:, :, : self.num_person]
        with recorded(self.network) as masks:
            logits = self._logits(x)
        scores = [y.softmax(-1) for y in logits]
        if self.heads:
            scores = [self.network.cls_head.fuse(logits), *scores]
        means = [y.unflatten(0, (-1, samples)).mean(1) for y in scores]
        return (*means, *_attentions(masks, x, samples, length))

    def _logits(self, x: Tensor) -> Sequence[Tensor]:
        """Of each head, from what the network takes, frames before persons: (N * S, T', M, V, C)."""
        x = (x * self.scale + self.shift).permute(0, 2, 4, 1, 3).flatten(0, 1)
        if not self.heads:  # as GCNHead does, which reads sizes
            pooled = self._by_clip(self.blocks(x)).mean((3, 4)).mean(1)
            return [self.network.cls_head.fc(pooled)]
        features = self.network.person_features(x)
        return self.network.cls_head({head: self._by_clip(maps) for head, maps in features.items()})

    def _by_clip(self, maps: Tensor) -> Tensor:
        return maps.unflatten(0, (-1, self.num_person))

    def _form(self, joints: Tensor) -> Tensor:
        """The stream of joints (N, T, P, V, C)."""
        bones = self._difference(joints, joints.index_select(3, self.parents))
        made = dict(j=joints, b=bones, jm=self._motion(joints), bm=self._motion(bones))
        return torch.cat([made[part] for part in self.stream], -1)

    def _motion(self, x: Tensor) -> Tensor:
        return torch.cat([self._difference(x[:, 1:], x[:, :-1]), x[:, :1] * 0], 1)

    def _difference(self, x: Tensor, start: Tensor) -> Tensor:
        """``x - start``, but the mean of confidences."""
        if not self.scored:
            return x - start
        return torch.cat([(x - start)[..., :2], (x + start)[..., 2:] / 2], -1)


def _there(x: Tensor) -> Tensor:
    """Joints that are not missing (..., V, 1), 1 or 0."""
    return (x.abs().amax(-1, keepdim=True) > 0).to(x.dtype)


def _rows(index: Tensor, total: int) -> Tensor:
    """From an index into each clip (N, I), of T rows, that into the rows of all clips (N * I,)."""
    return (index + total * torch.arange(index.shape[0])[:, None]).flatten()


def _attentions(masks: Masks, x: Tensor, samples: int, length: int) -> Iterable[Tensor]:
    """Means over blocks and the persons present in x (N * S, T', M, V, C); of joints also over samples."""
    present = (x.abs().flatten(3).amax(3).amax(1) > 0).to(x.dtype)
    shares = (present / present.sum(1, keepdim=True).clamp(min=1))[:, :, None]
    temporal, spatial = [*masks.temporal.values()], [*masks.spatial.values()]
    stretched = [nn.functional.interpolate(mask, size=length, mode='linear') for mask in temporal]
    for found, over_samples in ((stretched, False), (spatial, True)):
        if found:
            mean = sum(found).unflatten(0, (-1, x.shape[2])).squeeze(2) / len(found)
            mean = (mean * shares).sum(1).unflatten(0, (-1, samples))
            yield mean.mean(1) if over_samples else mean
