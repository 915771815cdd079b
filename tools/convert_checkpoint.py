"""Convert a checkpoint of the authors' DualHead-Net or MS-G3D program, or of MMAction2's projects/msg3d.

python tools/convert_checkpoint.py ntu60-xsub-joint.pt dualhead_ntu60_xsub_j.pth
"""

import argparse
import sys
from pathlib import Path

from mmdualhead.apis.convert import convert_checkpoint
from mmdualhead.engine.checkpoints import UnreadableCheckpointError
from mmdualhead.models.authors import AuthorsKeysError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help="the authors' .pt file, or MMAction2's .pth file")
    parser.add_argument('target', type=Path, help='the mmengine checkpoint to write')
    args = parser.parse_args()
    if args.target.exists():
        sys.exit(f'error: {args.target} is there already; name another file')
    try:
        name = convert_checkpoint(args.source, args.target)
    except (OSError, UnreadableCheckpointError, AuthorsKeysError) as error:
        sys.exit(f'error: {error}')
    print(f'{args.source}: {name} -> {args.target}')


if __name__ == '__main__':
    main()
