"""Convert NTU RGB+D's .skeleton files: python tools/data/ntu.py SRC OUT --dataset 60 --missing LIST"""

from mmdualhead.datasets.converters import cli, ntu

if __name__ == '__main__':
    parser = cli.make_parser(__doc__)
    parser.add_argument('--dataset', type=int, choices=sorted(ntu.PROTOCOLS), default=60, help='default: 60')
    parser.add_argument('--missing', help='published list of the clips with missing skeletons')
    cli.run(parser, ntu.scan)
