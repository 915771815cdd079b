"""A trained model as one file that runs without this package: ONNX or an exported PyTorch program.

N clips, M persons, T frames, V joints, C coordinates.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdualhead.apis.attended import recorded
from mmdualhead.apis.trained import ModelError, TrainedModel, load_trained
from mmdualhead.datasets.pipelines import step_name
from mmdualhead.datasets.transforms.streams import parse_stream
from mmdualhead.models.fused import fuse
from mmdualhead.models.ops import standard_operations
from mmdualhead.models.recognizer import DualHeadRecognizer

FORMATS = ('.onnx', '.pt2')
TOLERANCE = 1e-4
"""The largest difference of an output between PyTorch and the file; beyond it, the file is refused."""
CHECKED = ((1, 16), (2, 37), (5, 24))
"""Clips and frames of the batches that are compared; in each, some clips lack persons."""
OPSET = 18
SAMPLING = ('ReplayPad', 'PadTo', 'TemporalCropResize', 'UniformSampleClips', 'UniformSampleFrames')


class ExportError(RuntimeError):
    """The file does not answer what the model answers."""


class ExportedNetwork(nn.Module):
    """A trained model as one function of joints, without branches on data.

    Args:
        model: a DualHead-Net.

    Shape:
        (N, M, T, V, C) -> a tuple, in the order of :attr:`outputs`: the probabilities of the fused score and
        of each head, (N, classes), and the attentions, each a mean over blocks: of frames (N, M, T) and of
        joints (N, M, V), as far as the model has them.

    Raises:
        ModelError: it is another network.
    """

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        if not isinstance(model.network, DualHeadRecognizer):
            raise ModelError(f'{model.source}: only DualHead-Net can be exported')
        self.network = fuse(model.network).recognizer.cpu()
        self.stream = parse_stream(model.stream) if stream_is_inside(model) else ('j',)
        self.register_buffer('parents', torch.as_tensor(np.asarray(model.skeleton.parents)))
        shape = (2, self.network.backbone.input_shape[0], CHECKED[0][1], *self.input_joints)
        with torch.no_grad(), recorded(self.network) as masks:
            self.network(self._in_stream(torch.zeros(shape))[:, None], mode='tensor')
        kinds = {'frame_attention': masks.temporal, 'joint_attention': masks.spatial}
        heads = [f'{name}_score' for name in self.network.heads]
        self.outputs = ('fused_score', *heads, *(name for name, found in kinds.items() if found))

    @property
    def input_joints(self) -> tuple[int, int]:
        """V and C of the input."""
        _, joints, channels = self.network.backbone.input_shape
        return joints, channels // len(self.stream)

    def forward(self, keypoint: Tensor) -> tuple[Tensor, ...]:
        clips, persons, frames = keypoint.shape[:3]
        with recorded(self.network) as masks:
            x = self.network.backbone.normalize(self._in_stream(keypoint))
            features = self.network.person_features(x)
        classifier = self.network.cls_head
        logits = classifier({head: y.unflatten(0, (-1, persons)) for head, y in features.items()})
        scores = [classifier.fuse(logits), *(head.softmax(-1) for head in logits)]
        stretched = [nn.functional.interpolate(mask, size=frames, mode='linear') for mask in masks.temporal]
        attentions = [
            (sum(found) / len(found)).reshape(clips, persons, -1)
            for found in (stretched, masks.spatial)
            if found
        ]
        return (*scores, *attentions)

    def _in_stream(self, joints: Tensor) -> Tensor:
        make: dict[str, Callable[[], Tensor]] = {
            'j': lambda: joints,
            'b': lambda: joints - joints.index_select(3, self.parents),
            'jm': lambda: _motion(joints),
            'bm': lambda: _motion(joints - joints.index_select(3, self.parents)),
        }
        made = [make[part]() for part in self.stream]
        return made[0] if len(made) == 1 else torch.cat(made, -1)


def stream_is_inside(model: TrainedModel) -> bool:
    """Whether bones and motion can be formed in the network of the joints that it gets.

    They cannot where a step samples frames between motion and the network, and where joints have a
    confidence, which is averaged, not subtracted.
    """
    names = [step_name(step) for step in model.steps]
    if model.network.backbone.input_shape[2] != 3 * len(parse_stream(model.stream)) or model.skeleton.flat:
        return model.stream == 'j'
    after = names[names.index('SkeletonStream') :] if 'SkeletonStream' in names else names
    return 'm' not in model.stream or not set(SAMPLING) & set(after)


def export(source: Any, target: str | Path) -> dict[str, Any]:
    """Write a trained model as one file, and check that it answers what the model answers.

    Args:
        source: what :func:`~mmdualhead.apis.trained.load_trained` takes, a checkpoint for example.
        target: the file, ``.onnx`` or ``.pt2``. Clips and frames of its input ``keypoint`` are free.

    Returns:
        ``nodes`` of the graph, the largest ``difference`` of an output, and the seconds that the fused model
        (``torch``) and the file (``file``) take for one clip.

    Raises:
        ValueError: another suffix.
        ModelError: the model cannot be exported.
        ExportError: an output differs by more than 1e-4; nothing is written.
    """
    target = Path(target)
    if target.suffix not in FORMATS:
        raise ValueError(f'{target} ends with {target.suffix!r}; known formats: {", ".join(FORMATS)}')
    model = load_trained(source, device='cpu')
    network = ExportedNetwork(model).eval()
    part = target.with_name(f'.{target.stem}.part{target.suffix}')
    try:
        nodes = _write(network, part, metadata(model, network))
        run = open_exported(part)
        difference = largest_difference(network, run)
        if not difference <= TOLERANCE:
            raise ExportError(
                f'{target}: outputs differ from the model by {difference:.2g}; nothing is written'
            )
        clip = _batch(network, 1, 100)
        seconds = {'torch': _seconds(lambda: network(clip)), 'file': _seconds(lambda: run(clip.numpy()))}
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return dict(nodes=nodes, difference=difference, **seconds)


def metadata(model: TrainedModel, network: ExportedNetwork) -> dict[str, str]:
    """What the file says of itself; values that are no text are JSON."""
    skeleton = model.skeleton
    told = dict(
        classes=list(model.classes),
        num_person=network.network.backbone.input_shape[0],
        joints=skeleton.num_joints,
        parents=np.asarray(skeleton.parents).tolist(),
        center=skeleton.center,
        up=skeleton.up,
        across=skeleton.across,
        outputs=list(network.outputs),
        stream_inside=stream_is_inside(model),
        normalized=any(step_name(step) == 'NormalizeSkeleton3D' for step in model.steps),
        steps=[repr(step) for step in model.steps],
    )
    return {'layout': skeleton.name, 'stream': model.stream, **{k: json.dumps(v) for k, v in told.items()}}


def largest_difference(network: ExportedNetwork, run: Callable[[np.ndarray], Sequence[np.ndarray]]) -> float:
    """Between the network's outputs and those of a file, over several batches, lengths and persons."""
    worst = 0.0
    for clips, frames in CHECKED:
        x = _batch(network, clips, frames)
        with torch.no_grad():
            expected = network(x)
        for ours, theirs in zip(expected, run(x.numpy()), strict=True):
            worst = max(worst, float(np.abs(ours.numpy() - theirs).max()))
    return worst


def open_exported(path: Path) -> Callable[[np.ndarray], Sequence[np.ndarray]]:
    """The function that a file holds."""
    if path.suffix == '.pt2':
        program = torch.export.load(path).module()
        return lambda x: [y.numpy() for y in program(torch.from_numpy(x))]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    return lambda x: session.run(None, {'keypoint': x})


@torch.no_grad()
def _write(network: ExportedNetwork, path: Path, told: dict[str, str]) -> int:
    """Write the file; returns the nodes of its graph."""
    x = _batch(network, *CHECKED[1])
    free = ({0: torch.export.Dim('clips', min=1), 2: torch.export.Dim('frames', min=9)},)
    with standard_operations():
        program = torch.export.export(
            network, (x,), dynamic_shapes=free, strict=False, prefer_deferred_runtime_asserts_over_guards=True
        )
        program = program.run_decompositions({})
        if path.suffix == '.pt2':
            torch.export.save(program, path, extra_files={'metadata.json': json.dumps(told)})
            return sum(node.op == 'call_function' for node in program.graph.nodes)
        written = torch.onnx.export(
            program,
            input_names=['keypoint'],
            output_names=list(network.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    written.model.metadata_props.update(told)
    written.save(str(path), external_data=False)
    return sum(1 for _ in written.model.graph)


def _batch(network: ExportedNetwork, clips: int, frames: int) -> Tensor:
    """Random joints; every second clip lacks its last person."""
    persons = network.network.backbone.input_shape[0]
    random = np.random.default_rng(clips).standard_normal((clips, persons, frames, *network.input_joints))
    random[1::2, 1:] = 0
    return torch.from_numpy(random.astype(np.float32))


def _motion(x: Tensor) -> Tensor:
    return torch.cat([x[:, :, 1:] - x[:, :, :-1], torch.zeros_like(x[:, :, :1])], 2)


@torch.no_grad()
def _seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """The median of several calls."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[repeats // 2]
