"""Training in half precision learns what single precision learns."""

from __future__ import annotations

import pytest
import torch

from tests.models.networks import build, small_dualhead_config

STEPS = 10
LABELS = torch.arange(8) % 4


def train(half: torch.dtype | None, recompute: bool) -> tuple[list[float], list[torch.Tensor]]:
    """Learn eight clips by heart.

    Returns:
        The loss before each step, and the classes that each head names before the last one.
    """
    torch.manual_seed(0)
    model = build(small_dualhead_config(recompute=recompute)).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    x = torch.randn(8, 1, 2, 12, 5, 3)
    losses = []
    for _ in range(STEPS):
        with torch.autocast('cpu', half or torch.bfloat16, enabled=half is not None):
            logits, _ = model(x, mode='tensor')
            loss = sum(torch.nn.functional.cross_entropy(head, LABELS) for head in logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [head.argmax(1) for head in logits]


@pytest.mark.parametrize(
    ('half', 'recompute'),
    [
        (torch.bfloat16, False),
        (torch.float16, True),
        pytest.param(torch.bfloat16, True, marks=pytest.mark.heavy),
        pytest.param(torch.float16, False, marks=pytest.mark.heavy),
    ],
)
def test_half_precision_learns_what_single_precision_learns(half, recompute):
    (exact, learned), (found, learned_in_half) = train(None, recompute), train(half, recompute)
    # With equal weights the losses differ by rounding. Training amplifies any difference, even that of the
    # order of a sum, so that beyond the first step only what was learned can be compared.
    assert found[0] == pytest.approx(exact[0], rel=2 * torch.finfo(half).eps)
    for losses in (exact, found):
        assert losses[-1] < losses[0] / 8
    for head in (*learned, *learned_in_half):
        assert head.equal(LABELS)
