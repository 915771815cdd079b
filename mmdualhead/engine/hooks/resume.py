"""Resume a run so that it ends as if it had not been interrupted."""

from __future__ import annotations

from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor, nn

from mmdualhead.engine.checkpoints import unwrapped
from mmdualhead.engine.loaders import NumberedBatches, endless_batches, make_resumable, seed_all
from mmdualhead.utils.plain_config import saved_config

VALIDATED = 'validated_iter'
"""The key in the message hub, and so in a checkpoint, of the iteration that the last validation followed."""


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes ``--resume`` continue with the next batch and the random numbers of an uninterrupted run.

    Whatever stopped the run, and wherever in an epoch its checkpoint was written: on the CPU, the resumed run
    equals an uninterrupted one bit for bit. To this end, random numbers do not continue one stream; they are
    seeded with (seed, iteration, clip) for each clip that is loaded, and with (seed, iteration, process) for
    each step of the network. A validation that was due after the checkpoint was written is made up for.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._meta: dict[str, Any] | None = None
        self._gradients: dict[str, Tensor] = {}
        self._done = 0

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store the position in the epoch, the order of the clips, and gradients that wait for their step."""
        # Several processes have different ones, which are lost; mmengine warns of it.
        if getattr(runner.optim_wrapper, '_accumulative_counts', 1) > 1 and get_world_size() == 1:
            named = unwrapped(runner.model).named_parameters()
            checkpoint['gradients'] = {name: weight.grad for name, weight in named if weight.grad is not None}
        batches = runner.train_dataloader.batch_sampler
        if isinstance(batches, NumberedBatches):
            checkpoint['meta']['batches_per_epoch'] = batches.total
            checkpoint['meta']['sampler_seed'] = getattr(batches.sampler, 'seed', None)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Read the same from the checkpoint that is resumed."""
        self._meta = dict(checkpoint.get('meta') or {}) if runner._resume else None
        self._gradients = checkpoint.get('gradients') or {} if runner._resume else {}

    def before_train(self, runner: Runner) -> None:
        """Replace mmengine's loader with ours, and find what of the epoch is done."""
        for name, weight in unwrapped(runner.model).named_parameters():
            if name in self._gradients:
                weight.grad = self._gradients[name].to(weight)
        if self._gradients:  # mmengine has warned that they are lost
            runner.logger.info('accumulated gradients are restored from the checkpoint')
        loop = runner.train_loop
        if self._lacks_validation(runner):
            runner.register_hook(_MissedValidation())
        if VALIDATED not in runner.message_hub.runtime_info:
            runner.message_hub.update_info(VALIDATED, 0)
        loop.dataloader = make_resumable(loop.dataloader, runner.seed)
        batches = loop.dataloader.batch_sampler
        self._done = 0
        by_process = (self._meta or {}).get('buffers', ())
        if len(by_process) == get_world_size():
            unwrapped(runner.model).load_state_dict(by_process[get_rank()], strict=False)
        if self._meta is None or not isinstance(batches, NumberedBatches):
            return
        if self._meta.get('sampler_seed') is not None:
            batches.sampler.seed = self._meta['sampler_seed']
        if isinstance(loop, EpochBasedTrainLoop):
            self._done = self._batches_done(runner, batches.total)
        self._compare_length(runner)

    def _batches_done(self, runner: Runner, total: int) -> int:
        loop, before = runner.train_loop, (self._meta or {}).get('batches_per_epoch', total)
        done = loop.iter - loop.epoch * before
        if done and before != total:
            loop._iter = loop.epoch * total
            runner.logger.warning('the number of batches has changed: epoch %d starts again', loop.epoch + 1)
            return 0
        if not 0 < done <= total:
            return 0
        runner.logger.info('epoch %d continues after batch %d of %d', loop.epoch + 1, done, total)
        return done

    def _lacks_validation(self, runner: Runner) -> bool:
        """True if mmengine's loop would have validated next: its checkpoints are written before that."""
        loop, validated = runner.train_loop, runner.message_hub.runtime_info.get(VALIDATED)
        if self._meta is None or runner.val_loop is None:
            return False
        if validated in (None, loop.iter):  # checkpoints of earlier versions don't say
            return False
        batches = self._meta.get('batches_per_epoch', len(loop.dataloader))
        if isinstance(loop, IterBasedTrainLoop):
            now, last = loop.iter, loop.max_iters
        elif isinstance(loop, EpochBasedTrainLoop) and loop.iter == loop.epoch * batches:
            now, last = loop.epoch, loop.max_epochs
        else:
            return False
        loop._decide_current_val_interval()
        return now >= loop.val_begin and (now % loop.val_interval == 0 or now == last)

    def _compare_length(self, runner: Runner) -> None:
        """Warn that nothing is left to train, or that the schedule does not follow a new length."""
        if runner.iter >= runner.max_iters:
            done = f'{runner.epoch} epochs, {runner.iter} iterations'
            runner.logger.warning('the run is complete (%s); nothing is trained', done)
        try:
            before = saved_config(self._meta or {}).get('train_cfg') or {}
        except SyntaxError:
            return
        now = {'max_epochs': runner.max_epochs, 'max_iters': runner.max_iters}
        key = 'max_epochs' if isinstance(runner.train_loop, EpochBasedTrainLoop) else 'max_iters'
        if runner.param_schedulers and before.get(key) and before[key] != now[key]:
            runner.logger.warning(
                'THE CHECKPOINT IS FROM A RUN WITH %s=%s, this one has %s. The learning rate continues as '
                'planned there and then stays at its last value. For a new schedule, start from the weights '
                'only: --cfg-options load_from=CHECKPOINT, with another --work-dir and without --resume.',
                *(key, before[key], now[key]),
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Skip the batches of the running epoch that are done."""
        loop, done = runner.train_loop, self._done
        self._done = 0
        batches = loop.dataloader.batch_sampler
        if not isinstance(batches, NumberedBatches):
            return
        if isinstance(loop, IterBasedTrainLoop):
            _end_workers(loop.dataloader_iterator)
            loop.dataloader_iterator = endless_batches(loop.dataloader, loop.iter)
        else:
            batches.begin(loop.iter, done)

    def before_train_iter(self, runner: Runner, **_: Any) -> None:
        """Seed the network's random numbers, such as dropout's."""
        seed_all(runner.seed, runner.iter, get_rank())

    def after_val_epoch(self, runner: Runner, **_: Any) -> None:
        """Remember where it was, for all checkpoints from now on."""
        if isinstance(runner._train_loop, BaseLoop):  # built when training starts
            runner.message_hub.update_info(VALIDATED, runner.iter)


class _MissedValidation(Hook):
    """Validates before the training goes on, once all other hooks are ready for it."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        runner.logger.info('the checkpoint is from before the validation after iteration %d', runner.iter)
        runner.val_loop.run()


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that checkpoints contain, on the CPU: mostly running statistics."""
    model = unwrapped(model)
    saved = model.state_dict()
    return {name: saved[name].cpu() for name, _ in model.named_buffers() if name in saved}


def _end_workers(iterator: Any) -> None:
    """End the workers that mmengine's iteration-based loop has started ahead of time."""
    end = getattr(getattr(iterator, '_iterator', None), '_shutdown_workers', None)
    if end is not None:
        end()
