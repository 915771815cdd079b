"""Write a trained model as one ONNX file that runs without this package, and check it against the model.

python tools/export.py work_dirs/dualhead_ntu60_xsub_j model.onnx
"""

from pathlib import Path

from mmdualhead.apis.export import export
from mmdualhead.utils.command import add_import_option, make_parser, run_main


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('source', help='a checkpoint or a work dir')
    parser.add_argument('target', type=Path, help='the file to write, .onnx')
    add_import_option(parser)
    args = parser.parse_args()
    found = export(args.source, args.target)
    print(f'{args.target}: {args.target.stat().st_size:,} bytes, {found["nodes"]} nodes, ', end='')
    print(f'outputs differ by {found["difference"]:.2g} at most')
    if not found['raw']:
        print('It takes the output of the pipeline in place of recorded joints: docs/export.md, "raw".')


if __name__ == '__main__':
    run_main(main)
