"""The command ``mmdualhead``: MMAction2's programs and this package's, from wherever it was installed.

A program runs in this process, so that Ctrl-C and SIGTERM reach the training itself.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import errno
import runpy
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mmdualhead.program import find_config, find_configs, shipped
from mmdualhead.version import __version__

USAGE = """\
usage: mmdualhead COMMAND ...

Train and test, by MMAction2's tools/train.py and tools/test.py:
  train CONFIG ...           CONFIG is a path or the name of a shipped config
  test CONFIG CHECKPOINT ...
  run NAME ...               another of MMAction2's tools, e.g. confusion_matrix or get_flops

Installation:
  doctor                     what is installed, what is broken, and the command that fixes it
  configs [PATTERN]          the shipped configs, all or those that contain PATTERN
  configs --copy FOLDER      copy them, to read and change

Tools of mmdualhead:
{tools}

"mmdualhead COMMAND --help" lists the options of a command.
On several GPUs: torchrun --nproc-per-node 4 -m mmdualhead train CONFIG --launcher pytorch"""

COMMANDS = ('help', 'train', 'test', 'run', 'doctor', 'configs', 'data')

GROUP = 'data'
"""The folder of tools whose names are two words: ``mmdualhead data ntu`` is tools/data/ntu.py."""


DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What the system says when a program can't write any more: no space, size limit, quota."""


class UsageError(Exception):
    """The command line asks for something that isn't there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; a program that it runs may exit by itself.

    Args:
        arguments: those behind ``mmdualhead``; by default those of this process.

    Returns:
        The exit status.
    """
    command, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ['help']
    try:
        return run_command(command.replace('-', '_'), rest)
    except UsageError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


def run_command(name: str, arguments: list[str]) -> int:
    """Run the command of a name.

    Returns:
        The exit status.

    Raises:
        UsageError: there is no such command, or not with these arguments.
    """
    tools = find_tools()
    match name:
        case 'help' | '__help' | '_h':
            listed = {**tools, **{f'{GROUP} {tool}': path for tool, path in find_tools(GROUP).items()}}
            lines = (f'  {tool:<26} {summary(path)}' for tool, path in listed.items())
            print(USAGE.format(tools='\n'.join(lines)))
        case '__version':
            print(__version__)
        case 'train' | 'test':
            run_trainer(name, arguments)
        case 'run':
            run_mmaction(arguments)
        case 'doctor':
            from mmdualhead.doctor import main as examine

            return examine()
        case 'configs':
            show_configs(arguments)
        case 'data':
            run_data_tool(arguments)
        case _ if name in tools:
            run_program(tools[name], with_config(arguments))
        case _:
            raise UsageError(f'there is no command {name!r}{suggest(name, [*COMMANDS, *tools])}')
    return 0


def show_configs(arguments: list[str]) -> None:
    """List the shipped configs, or copy them.

    Raises:
        UsageError: no config matches, or the copy would overwrite something or can't be written.
    """
    if arguments[:1] == ['--copy'] and len(arguments) == 2:
        folder = Path(arguments[1])
        if folder.exists():
            raise UsageError(f'{folder} is there already; name a folder that is not')
        try:
            shutil.copytree(shipped('configs'), folder, ignore=shutil.ignore_patterns('__pycache__'))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise UsageError(f'{folder} could not be written: {error}') from None
        print(folder)
    elif len(arguments) <= 1 and not ''.join(arguments).startswith('-'):
        names = [name for name in find_configs() if ''.join(arguments) in name]
        if not names:
            raise UsageError(f'no shipped config contains {arguments[0]!r}')
        print(*names, sep='\n')
    else:
        raise UsageError('usage: mmdualhead configs [PATTERN | --copy FOLDER]')


def run_trainer(name: str, arguments: list[str]) -> None:
    """Run MMAction2's tools/train.py or tools/test.py.

    Raises:
        UsageError: the config does not exist.
    """
    if arguments and not arguments[0].startswith('-') and not Path(arguments[0]).is_file():
        config = find_config(arguments[0])
        if config is None:
            raise UsageError(f'there is no config {arguments[0]!r}{suggest(arguments[0], find_configs())}')
        arguments = [str(config), *arguments[1:]]
    run_program(mmaction_tools() / f'{name}.py', arguments, checked=True)


def run_mmaction(arguments: list[str]) -> None:
    """Run any tool of MMAction2, with all of mmdualhead registered.

    Raises:
        UsageError: MMAction2 has no such tool, or several.
    """
    folder = mmaction_tools()
    tools = {path: path.relative_to(folder).with_suffix('') for path in sorted(folder.rglob('*.py'))}
    names = {path.name for path in tools.values()} - {'__init__'}
    if not arguments or arguments[0].startswith('-'):
        raise UsageError(f'usage: mmdualhead run NAME ...; {folder} holds {", ".join(sorted(names))}')
    wanted = Path(arguments[0]).with_suffix('').parts
    found = [path for path, name in tools.items() if name.parts[-len(wanted) :] == wanted]
    if len(found) > 1:
        paths = ', '.join(tools[path].as_posix() for path in found)
        raise UsageError(f'MMAction2 has several tools {arguments[0]!r}: {paths}')
    if not found:
        raise UsageError(f'MMAction2 has no tool {arguments[0]!r}{suggest(arguments[0], names)}')
    run_program(found[0], with_config(arguments[1:]))


def run_data_tool(arguments: list[str]) -> None:
    """Run a tool of tools/data; these register what they need themselves.

    Raises:
        UsageError: the tool does not exist.
    """
    tools = find_tools(GROUP)
    if not arguments or arguments[0] not in tools:
        close = suggest(arguments[0], tools) if arguments else ''
        raise UsageError(f'usage: mmdualhead {GROUP} TOOL ...{close}; tools: {", ".join(tools)}')
    run_alone(tools[arguments[0]], arguments[1:])


def run_program(program: Path, arguments: list[str], checked: bool = False) -> None:
    """Run a Python program as if it had been called by itself, in this process, with all of mmdualhead.

    MMAction2's tools import ``mmaction.models``, which its wheel can't do without the repairs that come with
    that.

    Args:
        program: the file.
        arguments: its arguments.
        checked: refuse a config that can't be meant first.

    Raises:
        SystemExit: the run can't start or go on; says why.
    """
    import mmdualhead

    mmdualhead.register()
    from mmdualhead.engine.runner import faults_in_words

    try:
        with faults_in_words():
            if checked:
                check_config_of(arguments)
            run_alone(program, arguments)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        sys.exit(f'error: {error}')


def run_alone(program: Path, arguments: Sequence[str]) -> None:
    """Run a Python program, which registers itself what it needs."""
    sys.argv[1:] = arguments
    sys.path.insert(0, str(program.parent))
    runpy.run_path(str(program), run_name='__main__')


def check_config_of(arguments: list[str]) -> None:
    """Refuse the config of a command line, as its options change it, if it can't be meant."""
    from mmengine.config import Config, DictAction

    from mmdualhead.engine.config_check import config_faults
    from mmdualhead.engine.findings import tell

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('config', nargs='?')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    known, _ = parser.parse_known_args(arguments)
    if known.config and Path(known.config).is_file():
        config = Config.fromfile(known.config)
        config.merge_from_dict(known.cfg_options)
        if config.get('runner_type') != 'DataCheckRunner':  # which begins with this
            tell(config_faults(config._cfg_dict))


def with_config(arguments: list[str]) -> list[str]:
    """The arguments, with the first one, if it is the name of a shipped config, replaced by its path."""
    if not arguments or Path(arguments[0]).exists():
        return arguments
    config = find_config(arguments[0])
    return arguments if config is None else [str(config), *arguments[1:]]


def find_tools(group: str = '') -> dict[str, Path]:
    """The programs of tools/, or of a folder in it, by name."""
    return {path.stem: path for path in sorted((shipped('tools') / group).glob('*.py'))}


def mmaction_tools() -> Path:
    """The folder of MMAction2's own tools.

    Raises:
        UsageError: MMAction2 is not installed.
    """
    package = find_spec('mmaction')
    if package is None or not package.submodule_search_locations:
        raise UsageError('mmaction2 is not installed; "mmdualhead doctor" says how to fix it')
    folder = Path(package.submodule_search_locations[0])
    inside = folder / '.mim' / 'tools'
    return inside if inside.is_dir() else folder.parent / 'tools'


def summary(program: Path) -> str:
    """The first sentence of a program's docstring."""
    docstring = ast.get_docstring(ast.parse(program.read_text(encoding='utf-8'))) or ''
    return docstring.partition('\n')[0].partition(': python ')[0].rstrip('.')


def suggest(name: str, known: Iterable[str]) -> str:
    """Names that are close to one that isn't there, in words; nothing if none is."""
    close = difflib.get_close_matches(Path(name).name.removesuffix('.py'), list(known), n=3, cutoff=0.6)
    return f'; did you mean {" or ".join(close)}?' if close else ''
