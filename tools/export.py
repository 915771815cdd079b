"""Write a trained model as one file that runs without this package, and check it against the model.

python tools/export.py work_dirs/dualhead_ntu60_xsub_j model.onnx
python tools/export.py checkpoint.pth model.pt2
"""

import argparse
import sys
from pathlib import Path

from mmdualhead.apis.export import export


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='a checkpoint or a work dir')
    parser.add_argument('target', type=Path, help='the file to write, .onnx or .pt2')
    args = parser.parse_args()
    try:
        found = export(args.source, args.target)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f'error: {error}')
    except ImportError as error:
        sys.exit(f'error: {error}; install the extra: pip install "mmdualhead[export]"')
    print(f'{args.target}: {args.target.stat().st_size:,} bytes, {found["nodes"]} nodes, ', end='')
    print(f'outputs differ by {found["difference"]:.2g} at most')
    print(f'one clip of 100 frames: {1e3 * found["torch"]:.1f} ms fused in PyTorch, ', end='')
    print(f'{1e3 * found["file"]:.1f} ms from the file')


if __name__ == '__main__':
    main()
