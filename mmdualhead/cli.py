"""The command ``mmdualhead``: MMAction2's programs and this package's, from wherever it was installed.

A program runs in this process, so that Ctrl-C and SIGTERM reach the training itself.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from mmdualhead.program import find_config, find_configs, shipped
from mmdualhead.utils.command import CLOSED_PIPE, given
from mmdualhead.version import __version__

USAGE = """\
usage: mmdualhead COMMAND ...

Train and test, by MMAction2's tools/train.py and tools/test.py:
  train CONFIG ...           CONFIG is a path or the name of a shipped config
  test CONFIG CHECKPOINT ... CHECKPOINT is a file or a work dir, whose newest checkpoint is taken and which
                             gets the results; --half tests in half precision (bfloat16)
  run NAME ...               another of MMAction2's tools, e.g. confusion_matrix or get_flops

Installation:
  doctor                     what is installed, what is broken, and the command that fixes it
  configs [PATTERN]          the shipped configs, all or those that contain PATTERN
  configs --copy FOLDER      copy them, to read and change
  examples [--copy FOLDER]   the example programs of the documentation, listed or copied

Tools of mmdualhead:
{tools}

"mmdualhead COMMAND --help" lists the options of a command.
On several GPUs: torchrun --nproc-per-node 4 -m mmdualhead train CONFIG --launcher pytorch"""

DOCTOR = 'Say what is installed, what is broken, and the command that fixes it.'

COMMANDS = ('help', 'train', 'test', 'run', 'doctor', 'configs', 'examples', 'data')


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
        try:
            return run_command(command.replace('-', '_'), rest)
        finally:
            print(end='', flush=True)
    except UsageError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read had enough, as in "mmdualhead configs | head"
        sys.stdout = None  # what the pipe did not take can't be written at the end, either
        return CLOSED_PIPE


def run_command(name: str, arguments: list[str]) -> int:
    """Run the command of a name.

    Returns:
        The exit status.

    Raises:
        UsageError: the command is unknown, or takes other arguments.
    """
    tools, data_tools = find_tools(), find_tools('data')
    match name:
        case 'help' | '__help' | '_h':
            listed = {tool.replace('_', '-'): path for tool, path in tools.items()}
            listed |= {f'data {tool}': path for tool, path in data_tools.items()}
            lines = (f'  {tool:<26} {summary(path)}' for tool, path in listed.items())
            print(USAGE.format(tools='\n'.join(lines)))
        case '__version':
            print(__version__)
        case 'train':
            run_program(mmaction_tools() / 'train.py', with_config(arguments, must_exist=True), 'train')
        case 'test':
            arguments = with_half(with_checkpoint(with_config(arguments, must_exist=True)))
            run_program(mmaction_tools() / 'test.py', arguments, 'test')
        case 'run':
            tool = find_mmaction_tool(arguments)
            run_program(tool, with_config(arguments[1:]), f'run {tool.stem}')
        case 'doctor':
            argparse.ArgumentParser('mmdualhead doctor', description=DOCTOR).parse_args(arguments)
            from mmdualhead.doctor import main as examine

            return examine()
        case 'configs':
            show_configs(arguments)
        case 'examples':
            show_examples(arguments)
        case 'data':
            if not arguments or arguments[0] not in data_tools:
                close = suggest(arguments[0], data_tools) if arguments else ''
                raise UsageError(f'usage: mmdualhead data TOOL ...{close}; tools: {", ".join(data_tools)}')
            run_alone(data_tools[arguments[0]], arguments[1:], f'data {arguments[0]}')
        case _ if name in tools:
            run_program(tools[name], with_config(arguments), name.replace('_', '-'))
        case _:
            raise UsageError(f'there is no command {name!r}{suggest(name, [*COMMANDS, *tools])}')
    return 0


def show_configs(arguments: list[str]) -> None:
    """List the shipped configs, or copy them.

    Raises:
        UsageError: no config matches, or the copy would overwrite something or can't be written.
    """
    parser = argparse.ArgumentParser(
        'mmdualhead configs', description='List the shipped configs, or copy them.'
    )
    parser.add_argument('pattern', nargs='?', default='', help='part of the names to list')
    parser.add_argument('--copy', type=Path, metavar='FOLDER', help='where all are copied to instead')
    options = parser.parse_args(arguments)
    if options.copy is None:
        names = [name for name in find_configs() if options.pattern in name]
        if not names:
            raise UsageError(f'no shipped config contains {options.pattern!r}')
        print(*names, sep='\n')
        return
    copy_folder(shipped('configs'), options.copy)


def show_examples(arguments: list[str]) -> None:
    """List the example programs of the documentation, or copy them.

    Raises:
        UsageError: the copy would overwrite something or can't be written.
    """
    parser = argparse.ArgumentParser(
        'mmdualhead examples', description='List the example programs of the documentation, or copy them.'
    )
    parser.add_argument('--copy', type=Path, metavar='FOLDER', help='where all are copied to instead')
    options = parser.parse_args(arguments)
    examples = shipped('docs/examples')
    if options.copy is not None:
        return copy_folder(examples, options.copy)
    for path in sorted(examples.glob('*.py')):
        print(f'{path.name:<20} {summary(path)}')


def copy_folder(source: Path, target: Path) -> None:
    """Copy a shipped folder, whole or not at all.

    Raises:
        UsageError: there is something already, or it can't be written.
    """
    if target.exists():
        raise UsageError(f'{target} is there already; name a folder that is not')
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise UsageError(f'{target} could not be written: {error}') from None
    print(target)


def with_config(arguments: list[str], must_exist: bool = False) -> list[str]:
    """The arguments, with the first one, if it is the name of a shipped config, replaced by its path.

    Args:
        arguments: of a program.
        must_exist: it is a config in any case, and no folder hides one.

    Raises:
        UsageError: it has to be a config and is not.
    """
    if not arguments or arguments[0].startswith('-'):
        return arguments
    path = Path(arguments[0])
    if path.is_file() or (path.exists() and not must_exist):
        return arguments
    config = find_config(arguments[0])
    if config is None and path.name and path.with_name(f'{path.name}.py').is_file():
        config = path.with_name(f'{path.name}.py')
    if config is None and must_exist:
        if path.is_dir() or path.suffix == '.pth':
            raise UsageError(f'{path} is not a config, which comes first: CONFIG CHECKPOINT')
        raise UsageError(f'there is no config {arguments[0]!r}{suggest(arguments[0], find_configs())}')
    return [str(config or arguments[0]), *arguments[1:]]


def with_checkpoint(arguments: list[str]) -> list[str]:
    """The arguments of a test, with a work dir in the place of the checkpoint replaced by its newest one; the
    results go to the same work dir.

    Raises:
        UsageError: the work dir holds none, the test is to show videos, or to dump what is not a pickle.
    """
    dump = given('--dump', arguments)
    if dump and not dump.endswith(('.pkl', '.pickle')):
        raise UsageError(f'--dump writes a pickle, NAME.pkl, not {dump}; scores.npz is written anyway')
    if any(argument.startswith('--show') for argument in arguments):
        raise UsageError(
            'MMAction2 shows videos, not skeletons; "mmdualhead visualize RECORDING... --model WORK_DIR '
            '--out DIR" writes pages of clips and answers'
        )
    if len(arguments) < 2 or not Path(arguments[1]).is_dir():
        return arguments
    from mmdualhead.engine.checkpoints import last_checkpoint

    try:
        checkpoint = str(last_checkpoint(arguments[1]))
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    # The same work dir, where a fusion looks for its scores.
    results = [] if given('--work-dir', arguments) is not None else ['--work-dir', arguments[1]]
    return [arguments[0], checkpoint, *results, *arguments[2:]]


def with_half(arguments: list[str]) -> list[str]:
    """The arguments of a test, with ``--half`` as the option of the config that it stands for."""
    if '--half' not in arguments:
        return arguments
    others = [argument for argument in arguments if argument != '--half']
    at = others.index('--cfg-options') if '--cfg-options' in others else len(others)
    return [*others[:at], '--cfg-options', 'default_hooks.fuse.half=True', *others[at + 1 :]]


def run_program(program: Path, arguments: list[str], name: str) -> None:
    """Run a Python program as if it had been called by itself, in this process.

    Args:
        program: the file.
        arguments: its arguments.
        name: what is typed behind ``mmdualhead`` to run it.

    Raises:
        SystemExit: the run can't start or go on; says why.
    """
    from mmdualhead.utils.command import one_line_errors

    with one_line_errors():
        run_alone(program, arguments, name)


def run_alone(program: Path, arguments: Sequence[str], name: str) -> None:
    """Run a Python program, whose errors are its own."""
    sys.argv[:] = [f'mmdualhead {name}', *arguments]
    sys.path.insert(0, str(program.parent))
    sys.path.append(str(Path.cwd()))  # for modules of the user's own that a config imports
    execute(program)


def execute(program: Path) -> None:
    """What :func:`runpy.run_path` does, which would call the program by its path in its own help."""
    before, main = sys.modules['__main__'], ModuleType('__main__')
    main.__file__ = str(program)
    sys.modules['__main__'] = main
    try:
        exec(compile(program.read_bytes(), str(program), 'exec'), vars(main))
    finally:
        sys.modules['__main__'] = before


def find_tools(group: str = '') -> dict[str, Path]:
    """The programs of tools/, or of a folder in it, by name: ``mmdualhead data ntu`` is tools/data/ntu.py."""
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


def find_mmaction_tool(arguments: list[str]) -> Path:
    """The tool of MMAction2 that the first argument names, by its name or the end of its path.

    Raises:
        UsageError: MMAction2 has no such tool, or several.
    """
    folder = mmaction_tools()
    tools = {path: path.relative_to(folder).with_suffix('') for path in sorted(folder.rglob('*.py'))}
    names = {name.name for path, name in tools.items() if '__main__' in path.read_text(encoding='utf-8')}
    if not arguments or arguments[0].startswith('-'):
        raise UsageError(f'usage: mmdualhead run NAME ...; {folder} holds {", ".join(sorted(names))}')
    wanted = Path(arguments[0]).with_suffix('').parts
    found = [path for path, name in tools.items() if name.parts[-len(wanted) :] == wanted]
    if len(found) > 1:
        paths = ', '.join(tools[path].as_posix() for path in found)
        raise UsageError(f'MMAction2 has several tools {arguments[0]!r}: {paths}')
    if not found:
        close = suggest(arguments[0], names)
        raise UsageError(f'MMAction2 has no tool {arguments[0]!r}{close}; tools: {", ".join(sorted(names))}')
    return found[0]


def summary(program: Path) -> str:
    """The first sentence of a program's docstring."""
    docstring = ast.get_docstring(ast.parse(program.read_text(encoding='utf-8'))) or ''
    return docstring.partition('\n')[0].partition(': python ')[0].rstrip('.')


def suggest(name: str, known: Iterable[str]) -> str:
    """Names that are close to one that isn't there, in words; nothing if none is."""
    close = difflib.get_close_matches(Path(name).name.removesuffix('.py'), list(known), n=3, cutoff=0.6)
    return f'; did you mean {" or ".join(close)}?' if close else ''
