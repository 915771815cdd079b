"""Small files of trained models: the weights in half precision and everything that an answer needs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmdualhead.engine.checkpoints import AtomicBackend

KEPT = ('default_scope', 'model', 'test_pipeline')
"""What of a config is packed."""


def pack(source: Any, target: str | Path, accuracy: float | None = None) -> dict[str, Any]:
    """Write a trained model as a small file, which :class:`~mmdualhead.apis.SkeletonInferencer` takes.

    Args:
        source: a checkpoint or a work dir.
        target: the file to write, whole or not at all.
        accuracy: top-1 accuracy on the test part, as a fraction; shown where the model is named.

    Returns:
        What the file says of itself: ``classes``, ``layout``, ``stream``, ``dataset``, ``accuracy``,
        ``sha256`` of the weights, and ``cfg``, the text of the config.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it is not a model, or the accuracy is not a fraction.
    """
    from mmdualhead.apis.trained import load_trained

    if accuracy is not None and not 0 <= accuracy <= 1:
        raise ValueError(f'accuracy is {accuracy}, expected a fraction')
    model = load_trained(source, device='cpu')
    weights = {name: _half(value) for name, value in model.network.state_dict().items()}
    config = Config({key: model.config[key] for key in KEPT if key in model.config})
    known = model.meta.get('dataset_meta') or {}
    meta = dict(
        cfg=config.pretty_text,
        classes=list(model.classes),
        dataset=known.get('dataset') or model.meta.get('dataset'),
        layout=model.skeleton.name,
        stream=model.stream,
        accuracy=accuracy,
        epoch=model.meta.get('epoch'),
        sha256=digest(weights),
    )
    file = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=weights), file)
    AtomicBackend().put(file.getvalue(), target)
    return meta


def _half(value: Tensor) -> Tensor:
    return value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()


def digest(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights: of names, types, shapes and bytes."""
    hashed = hashlib.sha256()
    for name, value in sorted(weights.items()):
        hashed.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        hashed.update(value.contiguous().numpy().tobytes())
    return hashed.hexdigest()
