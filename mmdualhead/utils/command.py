"""How programs read arguments and end: in one line where their input, output or machine is at fault."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mmdualhead.errors import UserError
from mmdualhead.utils.text import printable, printable_lines

PACKAGE = Path(__file__).parents[1]

CLOSED_PIPE = 141
"""The exit status where whoever read the output has closed it, as shells give it for other programs."""

MACHINE = re.compile(
    r'DataLoader worker .*(exited unexpectedly|killed by signal)|shared memory|Too many open files'
    r'|not compiled with CUDA|No CUDA GPUs|NVIDIA driver|invalid device ordinal|device string|out of memory'
)
"""What PyTorch says by errors of no particular class about the machine that it runs on."""

BUILDING = re.compile(r'mmengine/(registry/(build_functions|registry)|runner/runner)\.py$')
"""Where MMEngine builds what a config names."""

CONSTRUCTORS = ('__init__', 'build_iter_from_epoch')
"""What MMEngine calls to build something."""

REFUSING = re.compile('raise|assert')
"""How a line begins by which a constructor refuses an argument."""

ARGUMENTS = re.compile(r'\w+\(\) (got an unexpected keyword argument|missing \d+ required)')
"""What Python says of arguments that a function does not take, or lacks."""


def make_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser that describes a program by its docstring."""
    return argparse.ArgumentParser(
        description=as_typed(docstring), formatter_class=argparse.RawDescriptionHelpFormatter
    )


def as_typed(docstring: str | None) -> str:
    """A docstring whose examples start the program as it was started: by its path, or by ``mmdualhead``."""
    text = docstring or ''
    if not sys.argv[0].startswith('mmdualhead '):
        return text
    text = re.sub(r'python tools/data/(\w+)\.py', r'mmdualhead data \1', text)
    return re.sub(r'python tools/(\w+)\.py', lambda found: f'mmdualhead {found[1].replace("_", "-")}', text)


def given(option: str, arguments: Sequence[str] | None = None) -> str | None:
    """The value of an option, empty if it has none; None without it.

    Args:
        option: its name, such as ``--seed``.
        arguments: by default those of this process, for what MMAction2's programs do not leave in the config.
    """
    arguments = sys.argv if arguments is None else arguments
    for argument, following in zip(arguments, [*arguments[1:], ''], strict=True):
        name, _, value = argument.partition('=')
        if name == option:
            return value or ('' if following.startswith('-') else following)
    return None


class _Import(argparse.Action):
    """Imports a module as soon as it is named, so that its parts are registered before a model is built."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:  # noqa: ARG002
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        importlib.import_module(values)


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--import MODULE`` to a program that loads models, for parts of a user's own."""
    parser.add_argument(
        '--import',
        action=_Import,
        metavar='MODULE',
        default=argparse.SUPPRESS,
        help="a module that registers parts of your own, in Python's path or this folder; may be repeated",
    )


def run_main(main: Callable[[], None]) -> None:
    """Run a program of ours, whose ValueErrors and ImportErrors are all about its input or installation."""
    with one_line_errors(ValueError, ImportError):
        main()
        sys.stdout.flush()


@contextmanager
def exits_on_signals() -> Iterator[None]:
    """Raise SystemExit, of status 128 + its number, on Ctrl-C and SIGTERM, so that work done is kept."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """End the program with ``error: ...`` and status 1 where input, output or the machine is at fault.

    That is: UserErrors, OSErrors, what PyTorch says of its machine.
    A message that names no file is followed by what the program was called with. Other errors are those of
    programs and pass, with their traceback.

    Args:
        kinds: further classes of errors that are not those of a program.

    Raises:
        SystemExit: the run can't start or go on; says why.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, kinds) and not _is_no_bug(error):
            raise
        # What a full disk or a closed pipe did not take can't be written at the end, either.
        is_pipe = isinstance(error, BrokenPipeError)
        if isinstance(error, OSError) and not _flush_or_drop('\n' * is_pipe) and is_pipe:
            sys.exit(CLOSED_PIPE)
        sys.exit(f'error: {describe(error)}')


def _is_no_bug(error: Exception) -> bool:
    if isinstance(error, UserError):
        return True
    if isinstance(error, RuntimeError | AssertionError) and MACHINE.search(str(error)):
        return True
    if isinstance(error, TypeError | KeyError | ValueError | AssertionError):
        return _is_of_config(original(error))
    return isinstance(error, OSError | MemoryError)


def _is_of_config(error: BaseException) -> bool:
    """Whether MMEngine could not build what a config names: the type or an argument is wrong there."""
    frames = traceback.extract_tb(error.__traceback__)
    built = [i for i, frame in enumerate(frames) if BUILDING.search(frame.filename.replace('\\', '/'))]
    called = frames[built[-1] + 1 :] if built else []
    if not called:
        return bool(built) and isinstance(error, TypeError | KeyError)
    if isinstance(error, ValueError | AssertionError):
        is_refused = bool(REFUSING.match(called[-1].line or '') and str(error))
    else:
        is_refused = ARGUMENTS.search(str(error)) is not None
    # A class may hand its arguments on to the one that it extends, which refuses them.
    return is_refused and all(frame.name in CONSTRUCTORS for frame in called)


def describe(error: BaseException) -> str:
    """What an error says, for a terminal: in one line, unless this package breaks it into several."""
    cause = original(error)
    is_ours = isinstance(cause, UserError) or _is_raised_here(cause)
    text = str(cause) or type(cause).__name__
    # PyTorch gives the traceback of a worker as text, the message at its end.
    if 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].partition(': ')[2]
    shown = printable_lines(text) if is_ours else printable(' '.join(text.split()))
    reason = re.sub(r'^\[Errno \d+\] ', '', shown)
    names_file = is_ours or '/' in reason or getattr(cause, 'filename', None) is not None
    called = shlex.join(sys.argv[1:])
    if names_file or not called:
        return reason
    return f'{reason} (in: {Path(sys.argv[0]).stem} {printable(called)})'


def _is_raised_here(error: BaseException) -> bool:
    """Whether a line of this package raised an error, which then names what it is about."""
    frames = traceback.extract_tb(error.__traceback__)
    return (
        bool(frames) and PACKAGE in Path(frames[-1].filename).parents and 'raise' in (frames[-1].line or '')
    )


def original(error: BaseException) -> BaseException:
    """The error that MMEngine's registries raised again, with words of their own before its message."""
    cause = error.__context__
    while type(cause) is type(error) and not error.__suppress_context__ and str(error).endswith(str(cause)):
        error, cause = cause, cause.__context__
    return error


def _flush_or_drop(text: str = '') -> bool:
    """Whether all that was printed, and a text, can be written.

    A pipe that was closed while a long line was written has dropped it: only a further text meets the fault.
    """
    try:
        print(text, end='', flush=True)
    except (OSError, ValueError, AttributeError):
        sys.stdout = None
    return sys.stdout is not None
