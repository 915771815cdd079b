"""Count and time networks side by side: parameters, MACs, latency, train step, memory."""

from .candidates import NETWORKS, Candidate, candidates_of, with_empty_persons
from .measure import CLOCKS, PRECISIONS, Comparison, Costs, Settings, Shape, compare, peak_memory
from .report import read_accuracies, to_dict, to_markdown
from .suite import PAPER_SHAPES, run_suite

__all__ = [
    'CLOCKS',
    'NETWORKS',
    'PAPER_SHAPES',
    'PRECISIONS',
    'Candidate',
    'Comparison',
    'Costs',
    'Settings',
    'Shape',
    'candidates_of',
    'compare',
    'peak_memory',
    'read_accuracies',
    'run_suite',
    'to_dict',
    'to_markdown',
    'with_empty_persons',
]
