"""Training in half precision: a few steps give nearly the losses of single precision."""

from __future__ import annotations

import pytest
import torch

from tests.models.networks import build, small_dualhead_config


def losses(half: torch.dtype | None, recompute: bool) -> list[float]:
    torch.manual_seed(0)
    model = build(small_dualhead_config(recompute=recompute)).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    x, labels = torch.randn(8, 1, 2, 12, 5, 3), torch.arange(8) % 4
    found = []
    for _ in range(5):
        with torch.autocast('cpu', half or torch.bfloat16, enabled=half is not None):
            logits, _ = model(x, mode='tensor')
            loss = sum(torch.nn.functional.cross_entropy(head, labels) for head in logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize('recompute', [False, True])
@pytest.mark.parametrize('half', [torch.bfloat16, torch.float16])
def test_half_precision_learns_what_single_precision_learns(half, recompute):
    exact, found = losses(None, recompute), losses(half, recompute)
    assert exact[-1] < 0.8 * exact[0]
    assert found == pytest.approx(exact, rel=0.05)
