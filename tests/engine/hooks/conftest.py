"""What the tests of the checks share."""

import logging

import pytest
import torch


@pytest.fixture
def trained(make_runner, tmp_path):
    """A checkpoint of one epoch."""
    make_runner(epochs=1).train()
    return tmp_path / 'run' / 'epoch_1.pth'


@pytest.fixture
def warnings(caplog):
    """What mmengine's loggers, which don't propagate, warn of."""

    def of(runner):
        runner.logger.addHandler(caplog.handler)
        caplog.handler.setLevel(logging.WARNING)
        return caplog

    return of


def rewrite(path, **changes):
    """Change top-level entries of a checkpoint file."""
    checkpoint = torch.load(path)
    torch.save({**checkpoint, **changes}, path)
