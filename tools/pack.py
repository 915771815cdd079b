"""Pack a trained model into a small file: weights in half precision, config, class names, accuracy.

python tools/pack.py work_dirs/dualhead_utd_mhad_j utd_mhad_j.pth --accuracy 0.935
python tools/pack.py work_dirs/dualhead_utd_mhad_j release    # dualhead_utd_mhad_j-1a2b3c4d.pth and .log
"""

from pathlib import Path

from mmdualhead.apis.packing import pack, release
from mmdualhead.utils.command import make_parser, run_main
from mmdualhead.utils.text import printable


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('source', help='a work dir or a checkpoint')
    parser.add_argument('target', type=Path, help='the .pth file to write, or the folder of a release')
    parser.add_argument('--accuracy', type=float, help='top-1 on the test part, as a fraction')
    parser.add_argument('--name', help="of the config, for a release (default: the work dir's)")
    args = parser.parse_args()
    if args.target.suffix != '.pth':
        file = release(args.source, args.target, args.accuracy, args.name)
        print(f'{file}: {file.stat().st_size:,} bytes')
        return
    meta = pack(args.source, args.target, args.accuracy)
    size = args.target.stat().st_size
    print(f'{args.target}: {size:,} bytes, {len(meta["classes"])} classes, ', end='')
    print(f'layout {printable(meta["layout"])}, ', end='')
    print(f'stream {printable(meta["stream"])}, SHA-256 of the weights {meta["sha256"]}')


if __name__ == '__main__':
    run_main(main)
