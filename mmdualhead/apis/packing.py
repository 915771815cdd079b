"""Small files of trained models: weights in half precision and everything that prediction needs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmdualhead.apis.trained import digest, load_trained
from mmdualhead.utils.files import atomic_write

KEPT = ('default_scope', 'custom_imports', 'model', 'test_pipeline')
"""The parts of a config that are packed."""


def pack(
    source: Any, target: str | Path, accuracy: float | None = None, about: str | None = None
) -> dict[str, Any]:
    """Write a trained model as a small file for :class:`~mmdualhead.apis.SkeletonInferencer`.

    Args:
        source: a checkpoint or a work dir.
        target: the file, which is written atomically.
        accuracy: top-1 accuracy on the test split, as a fraction; shown with the name of the model.
        about: a line on its data and its test, shown after that.

    Returns:
        The metadata of the file: ``classes``, ``layout``, ``stream``, ``network_input``, ``dataset``,
        ``accuracy``, ``about``, ``sha256`` of the weights, and ``cfg``, the text of the config.

    Raises:
        FileNotFoundError: the model does not exist.
        ValueError: it is not a model, or the accuracy is not a fraction.
        OSError: the file cannot be written.
    """
    content, meta = packed(source, accuracy, about)
    with atomic_write(target) as file:
        file.write(content)
    return meta


def packed(
    source: Any, accuracy: float | None = None, about: str | None = None
) -> tuple[bytes, dict[str, Any]]:
    """The content of the file that :func:`pack` writes, and its metadata; arguments as for that.

    Raises:
        ValueError: the accuracy is not a fraction, or the model cannot be loaded.
    """
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise ValueError(f'accuracy is {accuracy}, expected a fraction')
    model = load_trained(source, device='cpu')
    weights = {name: _smaller(value) for name, value in model.network.state_dict().items()}
    config = Config({key: model.config[key] for key in KEPT if key in model.config})
    known = model.meta.get('dataset_meta') or {}
    meta = dict(
        cfg=config.pretty_text,
        classes=list(model.classes),
        dataset=known.get('dataset') or model.meta.get('dataset'),
        layout=model.skeleton.name,
        network_input=model.input.to_meta(),
        stream=model.stream,
        accuracy=accuracy,
        about=about,
        epoch=model.meta.get('epoch'),
        sha256=digest(weights),
    )
    file = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=_joined(weights)), file)
    return file.getvalue(), meta


def _smaller(value: Tensor) -> Tensor:
    """In half precision, unless a number is too large for it, as the variance of joints in pixels is."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value


def _joined(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights in one block of memory for each type: every block of a file takes 200 bytes more."""
    joined: dict[str, Tensor] = {}
    for dtype in {value.dtype for value in weights.values()}:
        ours = {name: value for name, value in weights.items() if value.dtype == dtype}
        block = torch.cat([value.flatten() for value in ours.values()])
        parts = block.split([value.numel() for value in ours.values()])
        joined |= {
            name: part.view(value.shape) for (name, value), part in zip(ours.items(), parts, strict=True)
        }
    return {name: joined[name] for name in weights}
