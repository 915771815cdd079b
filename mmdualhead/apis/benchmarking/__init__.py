"""Count and time networks side by side: parameters, MACs, latency, train step, memory."""

from .lineup import Contestant, Shape, networks_of, networks_of_file, with_empty_bodies
from .report import read_accuracies, to_dict, to_markdown, write_json
from .run import Result, Row, benchmark
from .session import Settings

__all__ = [
    'Contestant',
    'Result',
    'Row',
    'Settings',
    'Shape',
    'benchmark',
    'networks_of',
    'networks_of_file',
    'read_accuracies',
    'to_dict',
    'to_markdown',
    'with_empty_bodies',
    'write_json',
]
