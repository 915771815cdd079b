"""Arguments of a config's parts that nothing takes, found in the signatures of the registered classes."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from mmaction import registry as registries
from mmengine.registry import Registry
from torch.utils.data import DataLoader

LIKENESS = 0.85
"""How like a known name (:meth:`difflib.SequenceMatcher.ratio`) an unknown one is that was meant to be it."""

TOP = {
    'model': registries.MODELS,
    'optim_wrapper': registries.OPTIM_WRAPPERS,
    'param_scheduler': registries.PARAM_SCHEDULERS,
    'default_hooks': registries.HOOKS,
    'custom_hooks': registries.HOOKS,
    'visualizer': registries.VISUALIZERS,
    'log_processor': registries.LOG_PROCESSORS,
    **{f'{phase}_cfg': registries.LOOPS for phase in ('train', 'val', 'test')},
    **{f'{phase}_evaluator': registries.METRICS for phase in ('val', 'test')},
    **{f'{phase}_dataloader': registries.DATASETS for phase in ('train', 'val', 'test')},
}
"""What builds the parts below a top-level key."""

NESTED = {
    'pipeline': registries.TRANSFORMS,
    'sampler': registries.DATA_SAMPLERS,
    'batch_sampler': registries.DATA_SAMPLERS,
    'optimizer': registries.OPTIMIZERS,
    'vis_backends': registries.VISBACKENDS,
}
"""What builds the parts below these keys, wherever they stand but in a model."""

TAKEN_BEFORE = {
    registries.HOOKS: {'priority'},
    registries.LOOPS: {'by_epoch'},
    registries.OPTIM_WRAPPERS: {'constructor', 'paramwise_cfg'},
    registries.PARAM_SCHEDULERS: {'convert_to_iter_based'},
}
"""Arguments that MMEngine takes out before it builds a part."""

HOOK_NAMES = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint', 'sync_buffers'),
    *('config_check', 'load_check', 'finite_check', 'resume', 'interrupt', 'fuse', 'visualization'),
)
"""Names in ``default_hooks``, mmengine's and ours."""

BUILT_AS_THEY_ARE = (
    'model',
    *(f'model.{part}' for part in ('backbone', 'neck', 'cls_head', 'data_preprocessor')),
)
"""The parts of a model that MMAction2's recognizers build with all of their arguments."""


def closest(name: str, known: Iterable[str], likeness: float = LIKENESS) -> str | None:
    """The known name that was probably meant, upper and lower case and hyphens aside."""
    plain = {one.lower().replace('-', '_'): one for one in known}
    found = difflib.get_close_matches(name.lower().replace('-', '_'), plain, n=1, cutoff=likeness)
    return plain[found[0]] if found else None


def unknown_arguments(config: Mapping[str, Any]) -> list[str]:
    """What the parts of a config are given although they do not take it.

    A class whose ``**kwargs`` go anywhere else than to its parent may take anything; outside of models,
    though, no names that are much like an argument's.

    Args:
        config: a whole config. Parts that are of no use to a training, such as the test's, count, too.

    Returns:
        One line each: where, the argument, and the name that was probably meant.
    """
    faults = _unknown_hooks(config.get('default_hooks') or {})
    for key, registry in TOP.items():
        part = config.get(key)
        if key.endswith('_dataloader') and isinstance(part, Mapping):
            known = {*inspect.signature(DataLoader).parameters, 'num_batch_per_epoch', 'batch_sampler'}
            faults += _not_taken(part, known, key, 'a data loader')
        faults += _of_parts(part, registry, key)
    return faults


def _unknown_hooks(hooks: Mapping[str, Any]) -> list[str]:
    """Names of default hooks that have no type, nor are known to have one."""
    known = {*HOOK_NAMES, *(name for name, hook in hooks.items() if hook is None or 'type' in hook)}
    faults = []
    for name in sorted(hooks.keys() - known):
        meant = closest(name, HOOK_NAMES, likeness=0.6)
        advice = f'. Is default_hooks.{meant} meant?' if meant else ''
        faults.append(f'default_hooks.{name}: there is no such hook{advice}')
    return faults


def _of_parts(part: Any, registry: Registry, path: str) -> Iterator[str]:
    """Unknown arguments of a part, and of those in it."""
    if isinstance(part, list | tuple):
        for i, item in enumerate(part):
            yield from _of_parts(item, registry, f'{path}[{i}]')
    if not isinstance(part, Mapping):
        return
    if 'type' in part:
        yield from _of_part(part, registry, path)
    for key, value in part.items():
        # Norms, activations and the like of a model are built in ways of their own.
        if registry is not registries.MODELS or not str(key).endswith('_cfg'):
            inner = registry if registry is registries.MODELS else NESTED.get(key, registry)
            yield from _of_parts(value, inner, f'{path}.{key}')


def _of_part(part: Mapping[str, Any], registry: Registry, path: str) -> Iterator[str]:
    # What is deeper in a model is built by the model, which may have arguments and types of its own.
    is_model = registry is registries.MODELS
    is_built_as_it_is = not is_model or path in BUILT_AS_THEY_ARE
    kind = part['type']
    if isinstance(kind, str):
        name, kind = kind, registry.get(kind)
        meant = closest(name, registered(registry)) if kind is None and '.' not in name else None
        if meant and is_built_as_it_is:
            yield f'{path}: there is no type {name!r}. Is {meant!r} meant?'
    if kind is None:
        return
    known, is_open = known_arguments(kind)
    if not (is_model and is_open):  # MMAction2's networks give such arguments to their blocks
        taken = known | {'type', '_scope_'} | TAKEN_BEFORE.get(registry, set())
        yield from _not_taken(part, taken, path, kind.__name__, is_built_as_it_is and not is_open)


def _not_taken(
    part: Mapping[str, Any], known: Iterable[str], path: str, owner: str, is_sure: bool = True
) -> Iterator[str]:
    for name in sorted(part.keys() - known):
        meant = closest(name, known, 0.6 if is_sure else LIKENESS)
        if is_sure or meant:
            yield f'{path}: {owner} has no argument {name!r}' + (f'. Is {meant!r} meant?' if meant else '')


def registered(registry: Registry | None) -> set[str]:
    """The names in a registry and in those above it."""
    names: set[str] = set()
    while registry is not None:
        registry.import_from_location()
        names |= set(registry.module_dict)
        registry = registry.parent
    return names


@cache
def known_arguments(kind: Callable[..., Any]) -> tuple[frozenset[str], bool]:
    """The names of the arguments that a class or a function takes, and whether it may take others, too.

    ``**kwargs`` of a constructor that go to ``super().__init__`` stand for the arguments of the next class.
    """
    owners = kind.__mro__[:-1] if isinstance(kind, type) else ()
    known: set[str] = set()
    for function in [vars(owner)['__init__'] for owner in owners if '__init__' in vars(owner)] or [kind]:
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError:  # not written in Python
            return frozenset(known), True
        known |= {one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
        rest = [one.name for one in parameters if one.kind is one.VAR_KEYWORD]
        if not rest or not _goes_to_parent(function, rest[0]):
            return frozenset(known - {'self'}), bool(rest)
    return frozenset(known - {'self'}), False


def _goes_to_parent(init: Callable[..., Any], rest: str) -> bool:
    """Whether a constructor does nothing with its ``**kwargs`` but to give them to ``super().__init__``."""
    try:
        source = inspect.getsource(inspect.unwrap(init))
    except (OSError, TypeError):
        return False
    uses = len(re.findall(rf'\b{rest}\b', source))
    return uses == 2 and re.search(rf'super\(\)\.__init__\(.*\*\*{rest}\b', source, re.DOTALL) is not None
