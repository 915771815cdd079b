"""Where the files are that are not modules."""

from mmdualhead.program import shipped


def test_shipped_files_are_found():
    assert (shipped('configs') / 'quickstart_j.py').is_file()
    assert (shipped('tools') / 'ensemble.py').is_file()
