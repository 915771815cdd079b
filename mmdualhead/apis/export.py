"""A trained model as one ONNX file, which runs without this package and without PyTorch.

N recordings, S samples of each, P persons, T frames of a recording and T' of a sample, V joints, C
coordinates.
"""

from __future__ import annotations

import inspect
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from mmdualhead.apis.exported import ExportedNetwork, sampled_frames, sampling_of
from mmdualhead.apis.forward import recorded, run_pipeline
from mmdualhead.apis.trained import load_trained
from mmdualhead.datasets.recording import Recording
from mmdualhead.errors import UserError
from mmdualhead.evaluation.scores import FUSED, head_scores
from mmdualhead.models.ops import standard_operations
from mmdualhead.utils.files import atomic_write

SUFFIX = '.onnx'
NEEDED = ('onnx', 'onnxruntime')
OPSET = 17
"""The lowest that has no detours for what the network does: onnxruntime 1.12 (2022) and later read it."""

TOLERANCE = 1e-4
"""The largest difference of an output between the model and the file; beyond it, there is no file."""

CHECKED = ((1, 1, 1), (2, 2, 7), (3, 3, 64))
"""N, P and T of the batches that the model behind its pipeline also answers."""
PROBED = ((2, 1, 13, 5, 10), (3, 3, 29, 2, 23))
"""N, P, T, S and T' of batches that differ in all of them, also in their products and halves."""

INPUTS = {
    'joints': {0: 'recordings', 1: 'persons', 2: 'frames'},
    'frames': {0: 'recordings', 1: 'samples', 2: 'length'},
}
"""And which of their axes are free."""
OUTPUTS = {'frame_attention': INPUTS['frames']}

SILENT = 4
"""onnxruntime's number of the level above its errors, which it raises as well."""

Batch = tuple[np.ndarray, np.ndarray]
"""Joints (N, P, T, V, C) and frames (N, S, T')."""
Run = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]
"""The outputs for a batch."""


ExportError = UserError
"""The network can't be written as a file, or the file does not answer what the model answers."""


def export(source: Any, target: str | Path) -> dict[str, Any]:
    """Write a trained model as one ONNX file, if it answers what the model answers.

    Args:
        source: what :func:`~mmdualhead.apis.trained.load_trained` takes, a checkpoint for example.
        target: the file, ``.onnx``.

    Returns:
        ``nodes`` of the graph, the largest ``difference`` of an output, and whether it takes ``raw`` joints.

    Raises:
        ValueError: another suffix.
        FileExistsError: the file is there.
        ImportError: onnx or onnxruntime is not installed.
        ModelError: it is not a model, or not one that can be exported.
        ExportError: its layers can't be exported, or an output differs by more than 1e-4.
        OSError: the file can't be written.
    """
    target = Path(target)
    if target.suffix != SUFFIX:
        raise ValueError(f'{target} ends with {target.suffix!r}, expected {SUFFIX}')
    if target.exists():
        raise FileExistsError(f'{target} is there already')
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f'{" and ".join(missing)} not installed: pip install "mmdualhead[export]"')
    model = load_trained(source, device='cpu')
    network = ExportedNetwork(model).eval()
    try:
        content, nodes = write(network)
        run = open_exported(content)
        difference = largest_difference(network, run)
    except OSError:
        raise
    except Exception as error:  # whatever PyTorch's exporter and onnxruntime make of layers of a user's own
        reason = str(error).strip().partition('\n')[0]
        raise ExportError(f'{model.source} cannot be exported: {reason}') from error
    if not difference <= TOLERANCE:
        raise ExportError(f'{target}: outputs differ from the model by {difference:.2g}; nothing is written')
    with atomic_write(target) as file:
        file.write(content)
    return dict(nodes=nodes, difference=difference, raw=network.takes_joints)


def metadata(network: ExportedNetwork) -> dict[str, str]:
    """What the file says of itself: layout and stream as text, all else as JSON."""
    model, is_raw = network.model, network.takes_joints
    described = dict(
        classes=list(model.classes),
        joints=list(model.skeleton.joints),
        parents=list(map(int, model.skeleton.parents)),
        num_person=network.num_person,
        channels=network.input_joints[1],
        raw=is_raw,
        sampling=sampling_of(model.input),
        drops=(is_raw and model.input.dropped_frames) or None,
        pixels=is_raw and model.input.normalization == '2d',
        flat=model.skeleton.flat,
        scale=model.input.scale,
        steps=[repr(step) for step in model.steps],
    )
    text = {key: json.dumps(value) for key, value in described.items()}
    return {'layout': model.skeleton.name, 'stream': model.stream, **text}


@torch.no_grad()
def write(network: ExportedNetwork) -> tuple[bytes, int]:
    """The content of the file, and the nodes of its graph."""
    import onnx
    import onnxruntime

    axes = INPUTS | {name: OUTPUTS.get(name, {0: 'recordings'}) for name in network.outputs}
    # Above torch 2.4 the default is another exporter, whose graphs are larger and take minutes.
    chosen = {'dynamo': False} if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, 'model.onnx'))
        with standard_operations(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of deprecation, and of sizes that are constants on purpose
            torch.onnx.export(
                network,
                tuple(map(torch.from_numpy, batch(network, 2, 2, 16))),
                path,
                input_names=list(INPUTS),
                output_names=list(network.outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                **chosen,
            )
        model = onnx.load(path)
        fix_shapes(model, *(batch(network, *sizes) for sizes in PROBED))
        onnx.save(model, path)
        # Constants are folded, and what does nothing is left out; all operators stay ONNX's own.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = path
        _session(path, options)
        model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata(network))
    return model.SerializeToString(), len(model.graph.node)


def fix_shapes(model: Any, one: Batch, other: Batch) -> None:
    """Give reshapes constant shapes, instead of the arithmetic with sizes that is half of a traced graph.

    Each size of a result is a number, or that of the same axis of what is reshaped, or the only other one.

    Args:
        model: changed in place.
        one, other: batches that differ in all sizes that are free.
    """
    import onnx

    reshapes = [node for node in model.graph.node if node.op_type == 'Reshape']
    names = list(dict.fromkeys(name for node in reshapes for name in (node.input[0], node.output[0])))
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, names))
    run = open_exported(probe.SerializeToString())
    sizes = {
        name: list(zip(a.shape, b.shape, strict=True))
        for name, a, b in zip(names, run(*one), run(*other), strict=True)
    }
    for node in reshapes:
        before, after = sizes[node.input[0]], sizes[node.output[0]]
        same = zip_longest(before[: len(after)], after)
        shape = [size[0] if size[0] == size[1] else 0 if size == old else -1 for old, size in same]
        if shape.count(-1) < 2:
            name = f'{node.output[0]}_shape'
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
            node.input[1] = name

    needed = {output.name for output in model.graph.output}
    for node in reversed(list(model.graph.node)):  # in the order of computation
        if needed.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            needed.update(node.input)


def open_exported(content: bytes) -> Run:
    """The function that a file holds."""
    import onnxruntime

    session = _session(content, onnxruntime.SessionOptions())
    return lambda joints, frames: session.run(None, dict(joints=joints, frames=frames))


def _session(content: str | bytes, options: Any) -> Any:
    import onnxruntime

    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = SILENT
    return onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])


@torch.no_grad()
def largest_difference(network: ExportedNetwork, run: Run) -> float:
    """Between the outputs of a file and of PyTorch, over several numbers of recordings, persons and frames.

    In PyTorch, recordings pass the model's own pipeline and the network as it was trained; and for samples
    that this pipeline does not draw, the exported network.
    """
    batches = [batch(network, *sizes) for sizes in PROBED]
    pairs = [(network(*map(torch.from_numpy, one)), run(*one)) for one in batches]
    for clips, persons, frames in CHECKED:
        one = batch(network, clips, min(persons, network.num_person), frames)
        packed, taken = behind_pipeline(network, *one)
        pairs.append((answers(network, packed), run(*taken)))
    differences = [
        np.abs(np.asarray(ours) - theirs).max()
        for expected, found in pairs
        for ours, theirs in zip(expected, found, strict=True)
    ]
    return float(np.max(differences))  # NaN if one of them is


def behind_pipeline(
    network: ExportedNetwork, joints: np.ndarray, frames: np.ndarray
) -> tuple[list[dict[str, Any]], Batch]:
    """What the network takes of recordings, and what the file takes of them."""
    if not network.takes_joints:
        joints = _coordinates(network, joints)
    # In a picture of 2 x 2 pixels, whose middle is (1, 1), these are what comes out.
    shift = [1, 1, 0] if network.takes_joints and network.model.input.normalization == '2d' else [0, 0, 0]
    recordings = [
        Recording(name='random', keypoint=keypoint + np.array(shift, np.float32), img_shape=(2, 2))
        for keypoint in joints
    ]
    packed = [run_pipeline(network.model, recording).packed for recording in recordings]
    if network.takes_joints:
        return packed, (joints, frames)
    samples = np.concatenate([one['inputs'] for one in packed])
    packed = [{**one, 'inputs': sample[None]} for one in packed for sample in one['inputs']]
    return packed, (samples, np.tile(np.arange(samples.shape[2]), (len(samples), 1, 1)))


def _coordinates(network: ExportedNetwork, joints: np.ndarray) -> np.ndarray:
    """Recordings of as many coordinates as joints have; the stream may have other channels."""
    channels = joints.shape[-1]
    number = 2 if network.model.skeleton.flat and channels == 2 else 3
    return joints[..., np.arange(number) % channels]


def answers(network: ExportedNetwork, packed: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """The outputs of :class:`ExportedNetwork`, as a test of the model computes them."""
    inputs = np.stack([one['inputs'] for one in packed])
    with recorded(network.model.network) as masks:
        samples = network.model.network.test_step(pseudo_collate(packed))
    scores = [head_scores(sample) for sample in samples]
    present = np.asarray(inputs.any((3, 4, 5)))
    attentions = (masks.when(present, inputs.shape[3]), masks.where(present))
    stacked = [np.stack([score[head] for score in scores]) for head in (FUSED, *network.heads)]
    return [*stacked, *(mask for mask in attentions if mask is not None)]


def batch(
    network: ExportedNetwork, clips: int, persons: int, frames: int, samples: int = 0, length: int = 0
) -> Batch:
    """Random walks of joints, and samples as the pipeline draws them, or of any number and length.

    Every second recording lacks its last person, each other one its first person in the first frames.
    """
    random = np.random.default_rng(clips)
    shape = (clips, persons, frames, *network.input_joints)
    joints = random.normal(0, 0.3, (*shape[:2], 1, *shape[3:])) + random.normal(0, 0.02, shape).cumsum(2)
    if persons > 1:
        joints[1::2, -1] = 0
        joints[::2, 0, : frames // 3] = 0
    drawn = np.tile(sampled_frames(network.model.input, frames), (clips, 1, 1))
    if samples:
        drawn = np.arange(clips * samples * length).reshape(clips, samples, length) % frames
    return joints.astype(np.float32), drawn
