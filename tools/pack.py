"""Pack a trained model into a small file: weights in half precision, config, class names, accuracy.

python tools/pack.py work_dirs/dualhead_utd_mhad_j utd_mhad_j.pth --accuracy 0.935
python tools/pack.py work_dirs/dualhead_utd_mhad_j release    # dualhead_utd_mhad_j-1a2b3c4d.pth and .log
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from mmdualhead.apis.packing import pack, packed
from mmdualhead.program import find_configs
from mmdualhead.utils.command import add_import_option, make_parser, run_main
from mmdualhead.utils.files import atomic_write, keep_inputs, write_text
from mmdualhead.utils.text import printable

SUMS = 'SHA256SUMS'


def release(
    source: str | Path,
    folder: str | Path,
    accuracy: float | None = None,
    name: str | None = None,
    about: str | None = None,
) -> Path:
    """Write a trained model, and the logs of its training and tests, as files of a release.

    The files are named ``CONFIG-8DIGITS.pth`` and ``CONFIG-8DIGITS.log``, as OpenMMLab's are, by the SHA-256
    of the weights' file; the folder's ``SHA256SUMS`` lists them, for ``sha256sum -c``. Earlier files of the
    same config are removed.

    Args:
        source: a work dir or a checkpoint.
        folder: where the files go.
        accuracy, about: see :func:`pack`.
        name: of the config; by default the part of the source's path that is one.

    Returns:
        The file of the weights.

    Raises:
        ValueError: also if no part of the path is the name of a config.
    """
    source, folder = Path(source), Path(folder)
    names = [part for part in reversed(source.absolute().parts) if part in find_configs()]
    if name is None and not names:
        raise ValueError(f'{source}: no part of the path is the name of a config; give --name')
    name = name or names[0]
    content, _ = packed(source, accuracy, about)
    sha256 = hashlib.sha256(content).hexdigest()
    files = {f'{name}-{sha256[:8]}.pth': content}
    logs = sorted(source.rglob('*.log')) if source.is_dir() else []  # one for each run, named by its time
    if logs:
        files[f'{name}-{sha256[:8]}.log'] = b''.join(path.read_bytes() for path in logs)
    sums = read_sums(folder)
    for old in [file for file in sums if file.rpartition('-')[0] == name]:
        del sums[old]
        if old not in files:
            (folder / old).unlink(missing_ok=True)
    for file, written in files.items():
        with atomic_write(folder / file) as target:
            target.write(written)
        sums[file] = hashlib.sha256(written).hexdigest()
    write_text(folder / SUMS, ''.join(f'{value}  {file}\n' for file, value in sorted(sums.items())))
    return folder / f'{name}-{sha256[:8]}.pth'


def read_sums(folder: str | Path) -> dict[str, str]:
    """The SHA-256 of a release's files by name; empty without a release."""
    path = Path(folder) / SUMS
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    return {name: value for value, name in (line.split(maxsplit=1) for line in lines)}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('source', help='a work dir or a checkpoint')
    parser.add_argument('target', type=Path, help='the .pth file to write, or the folder of a release')
    parser.add_argument('--accuracy', type=float, help='top-1 on the test split, as a fraction')
    parser.add_argument('--about', help='a line on its data and its test, shown with the model')
    parser.add_argument('--name', help="of the config, for a release (default: the work dir's)")
    add_import_option(parser)
    args = parser.parse_args()
    keep_inputs([args.target], [args.source])
    if args.target.suffix != '.pth':
        file = release(args.source, args.target, args.accuracy, args.name, args.about)
        print(f'{file}: {file.stat().st_size:,} bytes')
        return
    meta = pack(args.source, args.target, args.accuracy, args.about)
    size = args.target.stat().st_size
    print(f'{args.target}: {size:,} bytes, {len(meta["classes"])} classes, ', end='')
    print(f'layout {printable(meta["layout"])}, ', end='')
    print(f'stream {printable(meta["stream"])}, SHA-256 of the weights {meta["sha256"]}')


if __name__ == '__main__':
    run_main(main)
