"""Convert Kinetics-Skeleton's JSON files: python tools/data/kinetics.py SRC OUT"""

from mmdualhead.datasets.converters import cli, kinetics

if __name__ == '__main__':
    cli.run(cli.make_parser(__doc__), kinetics.scan)
