"""The house stays as docs/design.md draws it."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmdualhead'
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob('*.py')
}

ROOMS = (
    {'version.py', 'utils', 'errors.py'},
    {'skeletons.py'},
    {'network_input.py'},
    {'models'},
    {'datasets'},
    {'evaluation'},
    {'engine'},
    {'visualization'},
    {'apis'},
    {'compat.py', 'program.py', 'cli.py', 'doctor.py', '__main__.py', '__init__.py'},
)
"""From the ground up; a room imports from itself and from rooms below it."""

STEPS = re.compile(
    r'(GenSkeFeat|JointToBone|ToMotion|MergeSkeFeat|PreNormalize[23]D|PadTo|PoseDecode|UniformSample\w+|ReplayPad'
    r'|NormalizeSkeleton3D|SkeletonStream|FormatGCNInput|FormatSkeletonInput|TemporalCropResize|StretchSkeleton|SortedSampleFrames|PackActionInputs)'
)
MOST_LINES, MOST_ERRORS = 40, 6


def floor(module: str) -> int:
    room = module.partition('/')[0]
    return next(i for i, rooms in enumerate(ROOMS) if room in rooms)


def imports(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, also within functions."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield module.rpartition('/')[0] + '/x'
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmdualhead'):
            below = node.module.split('.')[1:]
            yield from ['/'.join(below)] if below else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith('mmdualhead.'):
                    yield '/'.join(alias.name.split('.')[1:])


def room_of(name: str) -> str:
    first = name.partition('/')[0]
    return first if (PACKAGE / first).is_dir() else f'{first}.py'


@pytest.mark.parametrize('module', sorted(MODULES))
def test_arrows_run_one_way(module):
    """Importing all of the package registers it: a part of a program may do so."""
    rooms = {room_of(name) for name in imports(module)}
    known = {room for rooms in ROOMS for room in rooms}
    upward = {room for room in rooms & known if floor(room) > floor(module)} - {'program.py', 'compat.py'}
    assert not upward


def test_names_of_steps_stand_in_one_module():
    named = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STEPS.fullmatch(node.value)
    }
    assert named <= {'network_input.py', 'datasets/transforms/__init__.py', 'datasets/transforms/augment.py'}


def test_there_are_few_exception_classes():
    """All that a user can put right is a UserError; a class of its own is for what is caught by name."""
    names: set[str] = {name for name in dir(builtins) if name.endswith(('Error', 'Exception', 'Warning'))}
    found: set[str] = set()
    classes = [node for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for _ in range(5):  # classes of classes
        for node in classes:
            if any(getattr(base, 'id', getattr(base, 'attr', '')) in names | found for base in node.bases):
                found.add(node.name)
    assert len(found) <= MOST_ERRORS, sorted(found)


def test_functions_are_short():
    long = [
        f'{module}:{node.lineno} {node.name}: {lines}'
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := lines_of_code(node, module)) > MOST_LINES
    ]
    assert not long


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef, module: str) -> int:
    """Without the docstring, comments and blank lines."""
    lines = (PACKAGE / module).read_text().splitlines()
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    code = lines[function.lineno - 1 : function.body[0].lineno - 1] if body is function.body else []
    code = [*code, *lines[body[0].lineno - 1 : function.end_lineno]]
    return sum(bool(line.strip()) and not line.strip().startswith('#') for line in code)


def test_foreign_functions_are_replaced_in_one_module():
    found = {module for module in MODULES if module != 'compat.py' and list(replacements(module))}
    assert not found


def replacements(module: str) -> Iterator[str]:
    """Attributes of modules and classes from elsewhere that a module assigns to."""
    foreign: set[str] = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            foreign |= {(alias.asname or alias.name).partition('.')[0] for alias in node.names}
        elif (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and not (node.module or '').startswith('mmdualhead')
        ):
            foreign |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(MODULES[module]):
        for target in getattr(node, 'targets', [getattr(node, 'target', None)]):
            base = target
            while isinstance(base, ast.Attribute):
                base = base.value
            is_attribute = isinstance(target, ast.Attribute) and isinstance(base, ast.Name)
            if is_attribute and base.id in foreign and f'{base.id}.{target.attr}' not in ALLOWED:
                yield f'{base.id}.{target.attr}'


ALLOWED = {'sys.stdout'}
"""What a program may say of itself."""
