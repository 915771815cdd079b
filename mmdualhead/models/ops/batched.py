"""Kernels for devices that are fastest with few, large launches: as many persons at a time as memory allows.

N clips times persons, T frames, V joints, K scales or subsets, W frames in a window, C input and D output
channels. Arguments and results are those of :mod:`mmdualhead.models.ops`.

The frames of all persons form one strip, each person between frames of zeros. One product mixes them, and
one batched product runs over all windows of the strip, overlapping views of it; the few that span two persons
are discarded.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdualhead.errors import UserError

from . import collapse
from .layout import frames_first
from .windows import Windows, gradients

BUDGET = 1 << 30
"""Bytes that a kernel's largest intermediate may use; the backward pass has three of that size.

The paper's network needs 21 MB per person in float32 (its widest layer at 300 frames), so 1 GiB suffices for
some 50 persons: enough windows to fill a large GPU many times over, and little compared with what such a
batch stores for the backward pass.
"""


def set_budget(size: int) -> None:
    """Set :data:`BUDGET`, in bytes.

    Raises:
        ValueError: it is not positive.
    """
    global BUDGET
    if size <= 0:
        raise UserError(f'the memory budget of the windowed products is {size} bytes; it must be positive')
    BUDGET = size


def window_product(x: Tensor, weight: Tensor, bias: Tensor, matrix: Tensor, stride: int) -> Tensor:
    """See :func:`mmdualhead.models.ops.window_product`."""
    x = frames_first(x)
    weight, matrix = weight.to(x.dtype), matrix.to(x.dtype)
    strip = _Strip(x, weight, matrix, stride)
    out = x.new_empty(len(x), strip.count, len(matrix), strip.mixed)
    for part, result in zip(x.split(strip.persons), out.split(strip.persons), strict=True):
        windows = strip.windows(strip.mix(strip.padded(part), weight))
        found = torch.bmm(matrix.expand(len(windows), -1, -1), windows)
        torch.add(found.unflatten(0, (len(part), strip.steps))[:, : strip.count], bias, out=result)
    return out.permute(0, 3, 1, 2)


def mix_and_collapse(x: Tensor, weight: Tensor, bias: Tensor, collapsing: Tensor, shift: Tensor) -> Tensor:
    return collapse.forward(x, weight, bias, collapsing, shift, _frames(x, weight))


def mix_and_collapse_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, collapsing: Tensor, shift: Tensor
) -> tuple[Tensor, ...]:
    return collapse.backward(grad, x, weight, bias, collapsing, shift, _frames(x, weight))


def topology_product(
    x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """See :func:`mmdualhead.models.ops.topology_product`; and the mixed frames (N, K, D, T, V), if kept."""
    x = frames_first(x)
    weight, bias, bases, coefficients = (t.to(x.dtype) for t in (weight, bias, bases, coefficients))
    out = x.new_empty(*x.shape[:3], weight.shape[1])
    kept = x.new_empty(len(x), *weight.shape[:2], *x.shape[1:3]) if keep else x.new_empty(0)
    persons = _persons_with_topologies(x, weight)
    for i, (part, own_bases) in enumerate(zip(x.split(persons), bases.split(persons), strict=True)):
        own = slice(i * persons, (i + 1) * persons)
        mixed = F.linear(part, weight.flatten(0, 1), bias.flatten())
        mixed = mixed.unflatten(3, weight.shape[:2]).permute(0, 3, 4, 1, 2).contiguous()
        topologies = (coefficients @ own_bases.flatten(3)).unflatten(3, (x.shape[2], -1))
        out[own] = (mixed @ topologies.transpose(3, 4)).sum(1).permute(0, 2, 3, 1)
        if keep:
            kept[own] = mixed
    return out.permute(0, 3, 1, 2), kept


def topology_product_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, bases: Tensor, coefficients: Tensor, mixed: Tensor
) -> tuple[Tensor, ...]:
    """The gradients of x, weight, bias, bases and coefficients, from that of the output."""
    x, grad = frames_first(x), frames_first(grad)
    parameters = (weight, bias, coefficients)
    sums = dict(dtype=torch.promote_types(x.dtype, torch.float32))  # over persons
    grads = [torch.zeros_like(parameter, **sums) for parameter in parameters]
    weight, coefficients = weight.flatten(0, 1).to(x.dtype), coefficients.to(x.dtype)
    grad_x, grad_bases = torch.empty_like(x), torch.empty_like(bases)
    persons = _persons_with_topologies(x, parameters[0])
    parts = (t.split(persons) for t in (x, bases, mixed, grad, grad_x, grad_bases))
    for part, own_bases, frames, grad_part, out, out_bases in zip(*parts, strict=True):
        # The gradients of the bases of the topologies.
        flat, into = own_bases.flatten(3).to(x.dtype), grad_part.permute(0, 3, 1, 2)[:, None]
        found = (into.transpose(3, 4) @ frames).flatten(3)
        grads[2] += (found @ flat.transpose(2, 3)).sum(0, **sums)
        out_bases.copy_((coefficients.transpose(1, 2) @ found).view_as(out_bases))

        # The mixing and the input, through the topologies.
        topologies = (coefficients @ flat).unflatten(3, (x.shape[2], -1))
        values = (into @ topologies).flatten(1, 2).flatten(2)
        grads[0] += torch.bmm(values, part.flatten(1, 2)).sum(0, **sums).view_as(grads[0])
        grads[1] += values.sum((0, 2), **sums).view_as(grads[1])
        out.copy_((values.transpose(1, 2) @ weight).view_as(out))
    of_weight, of_bias, of_coefficients = (g.to(p.dtype) for g, p in zip(grads, parameters, strict=True))
    return grad_x.permute(0, 3, 1, 2), of_weight, of_bias, grad_bases, of_coefficients


def _windows_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    strip = _Strip(x, weight, matrix, windows.stride)
    grad_x = torch.empty_like(x)
    grad_weight = torch.zeros_like(weight.flatten(0, 1), dtype=dtype)
    grad_matrix = torch.zeros_like(matrix, dtype=dtype).unflatten(1, (strip.size, -1))
    for part, out, grad_part in zip(*(t.split(strip.persons) for t in (x, grad_x, grad)), strict=True):
        # The adjacency: the mixed frames, recomputed, at each place of the windows, against the gradients.
        frames = strip.padded(part)
        for place, found in enumerate(strip.matrix_grads(strip.mix(frames, weight), grad_part)):
            grad_matrix[:, place] += found.sum(0, dtype=dtype)

        # The mixing and the input: frames at the same places of windows, every s-th, are one product, whose
        # gradients the mixing's weight maps to those of the input.
        by_phase = frames.unflatten(1, (-1, strip.stride))
        grad_frames = torch.zeros_like(by_phase)
        for phase, mixed in enumerate(strip.frame_grads(matrix, grad_part)):
            rows = by_phase[:, :, phase].flatten(1, 2)
            grad_weight += torch.bmm(mixed.transpose(1, 2), rows).sum(0, dtype=dtype)
            grad_frames[:, :, phase] = (mixed @ weight.flatten(0, 1)).view_as(grad_frames[:, :, phase])
        out.copy_(grad_frames.flatten(1, 2)[:, strip.pad : strip.pad + strip.frames])
    return grad_x, grad_weight.view_as(weight), grad_matrix.flatten(1)


def _frames_backward(
    grad: Tensor, x: Tensor, weight: Tensor, matrix: Tensor, windows: Windows, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    by_scale, mixing = windows.by_scale(matrix), weight.transpose(0, 1).flatten(1)
    grad_x = torch.empty_like(x)
    grad_mixing, grad_by_scale = (torch.zeros_like(value, dtype=dtype) for value in (mixing, by_scale))
    persons = _Strip(x, weight, matrix, windows.stride).persons
    for part, out, grad_part in zip(*(t.split(persons) for t in (x, grad_x, grad)), strict=True):
        grad_frames = (grad_part @ mixing).view(*part.shape[:2], windows.rows, -1)
        of_frames, frames = (t.transpose(1, 2).flatten(2) for t in (grad_frames, part))
        grad_by_scale += torch.bmm(of_frames, frames.transpose(1, 2)).sum(0, dtype=dtype)
        out.copy_(by_scale.t() @ grad_frames)
        gathered = (by_scale @ part).view(len(part), -1, mixing.shape[1])
        grad_mixing += torch.bmm(grad_part.flatten(1, 2).transpose(1, 2), gathered).sum(0, dtype=dtype)
    grad_weight = grad_mixing.unflatten(1, (windows.scales, -1)).transpose(0, 1)
    return grad_x, grad_weight, windows.by_joint(grad_by_scale)


window_product_backward = partial(gradients, by_windows=_windows_backward, by_frames=_frames_backward)


def _persons_with_topologies(x: Tensor, weight: Tensor) -> int:
    """The number of persons whose mixed frames and topologies each fit into the budget."""
    _, frames, joints, _ = x.shape
    size = weight.shape[:2].numel() * joints * max(frames, joints) * x.element_size()
    return max(1, BUDGET // (size or 1))


def _frames(x: Tensor, weight: Tensor) -> int:
    """The number of frames, of whole persons, whose channels inside the windows fit into the budget."""
    frames, size = x.shape[1], x.shape[2] * len(weight) * x.element_size()
    return max(1, BUDGET // (frames * size or 1)) * frames


class _Strip:
    """The places of all persons' windows in the strip of their padded frames."""

    def __init__(self, x: Tensor, weight: Tensor, matrix: Tensor, stride: int) -> None:
        _, self.frames, self.joints, _ = x.shape
        scales, self.mixed, _ = weight.shape
        self.rows = self.joints * scales
        self.channels = scales * self.mixed
        self.size = matrix.shape[1] // self.rows
        self.stride = stride
        self.pad = (self.size - 1) // 2
        self.count = (self.frames - 1) // stride + 1
        self.steps = -(-(self.frames + 2 * self.pad) // stride)  # strides from a person to the next
        person = self.steps * stride * self.rows * self.mixed * x.element_size()
        self.persons = max(1, BUDGET // person)

    def padded(self, x: Tensor) -> Tensor:
        """(N, T, V, C) -> (N, steps * s, V, C)."""
        return F.pad(x, (0, 0, 0, 0, self.pad, self.steps * self.stride - self.frames - self.pad))

    def mix(self, padded: Tensor, weight: Tensor) -> Tensor:
        """The strip of mixed frames, (N * steps * s + W, V * K, D); the last W may have any values."""
        length = padded.shape[0] * padded.shape[1]
        strip = padded.new_empty(length + self.size, self.rows, self.mixed)
        torch.mm(padded.flatten(0, 2), weight.flatten(0, 1).t(), out=strip[:length].view(-1, self.channels))
        return strip

    def windows(self, strip: Tensor) -> Tensor:
        """The windows of persons, and of the gaps between them: (N * steps, W * V * K, D), overlapping."""
        step, row, _ = strip.stride()
        count = (len(strip) - self.size) // self.stride
        return strip.as_strided((count, self.size * self.rows, self.mixed), (self.stride * step, row, 1))

    def matrix_grads(self, strip: Tensor, grad: Tensor) -> list[Tensor]:
        """For each place in the window the gradient of the adjacency by person, (N, V * W, V * K)."""
        frames = strip[: -self.size].unflatten(0, (len(grad), self.steps * self.stride)).transpose(1, 2)
        frames = frames.contiguous()
        rows = grad.transpose(1, 2).flatten(2)
        reach = self.stride * (self.count - 1) + 1
        seen = (frames[:, :, j : j + reach : self.stride].flatten(2) for j in range(self.size))
        return [torch.bmm(rows, place.transpose(1, 2)) for place in seen]

    def frame_grads(self, matrix: Tensor, grad: Tensor) -> list[Tensor]:
        """For each phase r < s the gradient of the mixed frames s a + r, (N, steps * V, K * D).

        Such a frame is at the places r, r + s, ... of the windows a, a - 1, ..., so this is again a
        product with overlapping windows: of the matrix, transposed, with consecutive windows' gradients.
        """
        reach = -(-self.size // self.stride)
        padded = F.pad(grad, (0, 0, 0, 0, 0, self.steps - self.count)).flatten(0, 1)
        padded = F.pad(padded, (0, 0, 0, 0, reach - 1, 0))
        step, row, _ = padded.stride()
        by_place = matrix.unflatten(1, (self.size, self.rows))
        grads = []
        for phase in range(min(self.stride, self.size)):
            places = range(phase, self.size, self.stride)
            back = torch.cat([by_place[:, j].t() for j in reversed(places)], 1)
            seen = padded.as_strided(
                (len(padded) - reach + 1, back.shape[1], self.mixed),
                (step, row, 1),
                (reach - len(places)) * step,
            )
            found = torch.bmm(back.expand(len(seen), -1, -1), seen)
            grads.append(found.view(len(grad), self.steps * self.joints, self.channels))
        return grads
