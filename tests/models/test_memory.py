"""What the memory table of docs/speed.md rests on."""

import json

from torch.profiler import ProfilerActivity, profile

from tests.models.memory import peak_of_a_step


def test_the_derived_peak_is_that_of_the_allocator(tmp_path):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        peak_of_a_step(1, 30, half=True, recompute=True, fake=False)
    profiler.export_chrome_trace(str(tmp_path / 'trace.json'))
    events = json.loads((tmp_path / 'trace.json').read_text())['traceEvents']
    allocated = [event['args'] for event in events if event.get('name') == '[memory]']
    before = allocated[0]['Total Allocated'] - allocated[0]['Bytes']
    measured = max(event['Total Allocated'] for event in allocated) - before
    derived = peak_of_a_step(1, 30, half=True, recompute=True)
    assert abs(derived - measured) < 0.1 * measured
