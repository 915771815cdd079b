"""The notebook of docs/: what is in the repository, and, on demand, a run of all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / 'docs' / 'tutorial.ipynb'


def test_it_is_kept_without_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']
    assert [cell for cell in cells if cell['outputs'] or cell['execution_count'] is not None] == []


@pytest.mark.heavy
def test_it_runs_from_start_to_end(tmp_path):
    """Where a cell fails, nbclient raises its error."""
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    notebook = nbformat.read(NOTEBOOK, 4)
    resources = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(notebook, timeout=1200, kernel_name='python3', resources=resources).execute()
    printed = [str(cell.outputs) for cell in notebook.cells if cell.cell_type == 'code']
    assert "name='sit to stand'" in printed[1]
    assert (tmp_path / 'stand_up.png').is_file()
    assert (tmp_path / 'stand_up.html').is_file()
    assert all('acc/fine_top1' in text for text in printed[5:8])
    assert '1 : 1 : 1' in printed[-2]
