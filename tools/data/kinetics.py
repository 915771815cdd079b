"""Convert Kinetics-Skeleton's JSON files: python tools/data/kinetics.py SRC OUT"""

from mmdualhead.datasets.converters import cli, kinetics

if __name__ == '__main__':
    args = cli.make_parser(__doc__).parse_args()
    cli.run(args, kinetics.scan)
