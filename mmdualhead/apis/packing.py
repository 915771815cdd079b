"""Small files of trained models: the weights in half precision and everything that an answer needs."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmdualhead.apis.trained import digest, load_trained
from mmdualhead.program import find_configs
from mmdualhead.utils.files import atomic_write, write_text

KEPT = ('default_scope', 'model', 'test_pipeline')
"""What of a config is packed."""

SUMS = 'SHA256SUMS'


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
        FileNotFoundError: the model does not exist.
        ValueError: it is not a model, or the accuracy is not a fraction.
        OSError: the file could not be written.
    """
    content, meta = _packed(source, accuracy)
    with atomic_write(target) as file:
        file.write(content)
    return meta


def release(
    source: str | Path, folder: str | Path, accuracy: float | None = None, name: str | None = None
) -> Path:
    """Write a trained model, and the log of its training, as files of a release.

    The files are called ``CONFIG-8DIGITS.pth`` and ``CONFIG-8DIGITS.log``, as OpenMMLab's are, by the SHA-256
    of the weights' file; the folder's ``SHA256SUMS`` lists them, for ``sha256sum -c``. Earlier files of the
    same config are removed.

    Args:
        source: a work dir or a checkpoint.
        folder: where the files go.
        accuracy: see :func:`pack`.
        name: of the config; by default the part of the source's path that is one.

    Returns:
        The file of the weights.

    Raises:
        ValueError: also if no part of the path is the name of a config.
    """
    source, folder = Path(source), Path(folder)
    names = [part for part in reversed(source.absolute().parts) if part in find_configs()]
    if name is None and not names:
        raise ValueError(f'{source}: no part of the path is the name of a config; give --name')
    name = name or names[0]
    content, _ = _packed(source, accuracy)
    sha256 = hashlib.sha256(content).hexdigest()
    files = {f'{name}-{sha256[:8]}.pth': content}
    logs = sorted(source.rglob('*.log'), key=lambda path: path.stat().st_size) if source.is_dir() else []
    if logs:
        files[f'{name}-{sha256[:8]}.log'] = logs[-1].read_bytes()
    sums = read_sums(folder)
    for old in [file for file in sums if file.rpartition('-')[0] == name]:
        del sums[old]
        if old not in files:
            (folder / old).unlink(missing_ok=True)
    for file, written in files.items():
        with atomic_write(folder / file) as target:
            target.write(written)
        sums[file] = hashlib.sha256(written).hexdigest()
    write_text(folder / SUMS, ''.join(f'{value}  {file}\n' for file, value in sorted(sums.items())))
    return folder / f'{name}-{sha256[:8]}.pth'


def read_sums(folder: str | Path) -> dict[str, str]:
    """The SHA-256 of a release's files by name; empty where nothing was released."""
    path = Path(folder) / SUMS
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    return {name: value for value, name in (line.split(maxsplit=1) for line in lines)}


def _packed(source: Any, accuracy: float | None) -> tuple[bytes, dict[str, Any]]:
    """A file's content, and what it says of itself."""
    if accuracy is not None and not 0 <= accuracy <= 1:
        raise ValueError(f'accuracy is {accuracy}, expected a fraction')
    model = load_trained(source, device='cpu')
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.network.state_dict().items()
    }
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
    return file.getvalue(), meta
