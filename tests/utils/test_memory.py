"""Memory that is kept between the passes of a network."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PASSES = """
import resource, sys
from mmdualhead.utils.memory import keep_freed_memory

def faults_of_passes():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        parts = [b'x' * (1 << 23) for _ in range(3)]
        del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == 'keep':
    keep_freed_memory()
faults_of_passes()
print(faults_of_passes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other C libraries do not learn')
def test_a_pass_takes_the_memory_of_the_one_before():
    """Page faults of 20 passes, each of 24 MB, some 6,000 pages."""
    environment = {key: value for key, value in os.environ.items() if key != 'GLIBC_TUNABLES'}

    def faults(how: str) -> int:
        command = [sys.executable, '-c', PASSES, how]
        return int(subprocess.check_output(command, env=environment))

    assert faults('keep') < 0.01 * faults('leave')
