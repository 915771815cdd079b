"""Speed and memory against the plain form of the same equations (tests/models/reference.py).

python -m tests.benchmarks.reference --threads 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mmdualhead.apis.benchmarking import (
    Contestant,
    Result,
    Row,
    Settings,
    Shape,
    benchmark,
    networks_of,
    to_markdown,
    with_empty_bodies,
    write_json,
)
from mmdualhead.apis.benchmarking.lineup import DUALHEAD, EVAL, TRAIN
from mmdualhead.apis.benchmarking.memory import peak_memory
from mmdualhead.utils.tables import markdown_table
from tests.models.reference import Reference, fill, published_shapes

SHAPES = (Shape(8, 2, 100, 25), Shape(4, 2, 300, 25))
REFERENCE = 'reference'
FUSED, RECOMPUTE = f'{DUALHEAD}, fused', f'{DUALHEAD}, recompute'
HALF_EMPTY = f'{FUSED}, 50% of bodies empty'
FORMS = (DUALHEAD, FUSED, RECOMPUTE)


class ReferenceNetwork(nn.Module):
    """The plain equations with the weights of the parity fixture."""

    def __init__(self) -> None:
        super().__init__()
        tensors = fill(published_shapes('dualhead_ntu60')).items()
        self.weights = {key: tensor.float() for key, tensor in tensors}
        for key, tensor in self.weights.items():
            name = key.replace('.', '/')
            if 'running' in key or 'num_batches' in key:
                self.register_buffer(name, tensor)
            else:
                self.weights[key] = nn.Parameter(tensor)
                self.register_parameter(name, self.weights[key])
        self.equations = Reference(self.weights, 'nturgb+d', 9, 6, True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.equations.training = self.training
        return self.equations.dualhead(x)


def contestants(shape: Shape) -> list[Contestant]:
    """The reference and all forms of DualHead-Net."""
    ours = with_empty_bodies(networks_of(shape, FORMS), 0.5)
    return [Contestant(network=REFERENCE, make=ReferenceNetwork), *ours]


@dataclass(frozen=True)
class Target:
    """A goal for a figure of a form of DualHead-Net.

    Args:
        what: the figure in words.
        form: of the network.
        figure: reads it off a row.
        at_least: for times, what the reference's divided by the form's should be.
        at_most: for bytes, what the form's divided by the reference's should be.
    """

    what: str
    form: str
    figure: Callable[[Row], float]
    at_least: float | None = None
    at_most: float | None = None

    def row(self, rows: dict[str, Row]) -> list[str]:
        reference, ours = self.figure(rows[REFERENCE]), self.figure(rows[self.form])
        if self.at_least is not None:
            ratio, bound, reached = reference / ours, f'≥ {self.at_least}', reference / ours >= self.at_least
        else:
            ratio, bound, reached = ours / reference, f'≤ {self.at_most}', ours / reference <= self.at_most
        return [self.what, self.form, bound, f'{ratio:.2f}', 'yes' if reached else 'no']


def eval_median(row: Row) -> float:
    return row.timings[EVAL].median


def train_median(row: Row) -> float:
    return row.timings[TRAIN].median


def saved_bytes(row: Row) -> float:
    return row.saved_bytes


TARGETS = (
    Target('eval, times as fast', DUALHEAD, eval_median, at_least=2.1),
    Target('eval, times as fast', FUSED, eval_median, at_least=2.6),
    Target('eval, times as fast', HALF_EMPTY, eval_median, at_least=4),
    Target('train step, times as fast', DUALHEAD, train_median, at_least=2),
    Target('train step, times as fast', RECOMPUTE, train_median, at_least=1.5),
    Target('saved for backward, share', DUALHEAD, saved_bytes, at_most=0.85),
    Target('saved for backward, share', RECOMPUTE, saved_bytes, at_most=0.3),
)


def targets_table(result: Result) -> str:
    """What was aimed at and what was reached."""
    rows = {row.name: row for row in result.rows}
    header = ('against the reference', 'form', 'target', 'measured', 'reached')
    return markdown_table(header, [target.row(rows) for target in TARGETS])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--shape', nargs=4, type=int, action='append', metavar=('N', 'M', 'T', 'V'))
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--warmup', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', default='float32')
    parser.add_argument('--clock', default='wall', help='wall, or processor (with --threads 1)')
    parser.add_argument('--networks', nargs='+', metavar='NAME', help=f'of: {REFERENCE}, {", ".join(FORMS)}')
    parser.add_argument('--skip-peak', action='store_true', help='leave peak memory out')
    parser.add_argument('--json', type=Path, metavar='FILE')
    args = parser.parse_args()
    results = []
    for numbers in args.shape or SHAPES:
        settings = Settings(
            shape=Shape(*numbers),
            threads=args.threads,
            repeats=args.repeats,
            warmup=args.warmup,
            device=args.device,
            precision=args.dtype,
            clock=args.clock,
        )
        log = lambda line: print(line, file=sys.stderr)  # noqa: E731
        peak = None if args.skip_peak else peak_memory
        chosen = contestants(settings.shape)
        if args.networks:
            chosen = [one for one in chosen if one.name in args.networks]
        results.append(benchmark(chosen, settings, peak=peak, say=log))
        print(to_markdown(results[-1]), end='\n\n', flush=True)
        if not args.networks:
            print(targets_table(results[-1]), end='\n\n', flush=True)
        if args.json:
            write_json(results, args.json)


if __name__ == '__main__':
    main()
