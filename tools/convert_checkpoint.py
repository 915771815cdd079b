"""Convert a checkpoint of DualHead-Net's, MS-G3D's or CTR-GCN's authors, or of MMAction2's projects/msg3d.

python tools/convert_checkpoint.py ntu60-xsub-joint.pt dualhead_ntu60_xsub_j.pth
"""

from pathlib import Path

from mmdualhead.apis.convert import convert_checkpoint
from mmdualhead.utils.command import make_parser, run_main


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('source', type=Path, help="the authors' .pt file, or MMAction2's .pth file")
    parser.add_argument('target', type=Path, help='the mmengine checkpoint to write')
    args = parser.parse_args()
    if args.target.exists():
        raise FileExistsError(f'{args.target} is there already; name another file')
    print(f'{args.source}: {convert_checkpoint(args.source, args.target)} -> {args.target}')


if __name__ == '__main__':
    run_main(main)
