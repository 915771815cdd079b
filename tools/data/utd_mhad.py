"""Convert UTD-MHAD's skeleton files (aA_sS_tT_skeleton.mat): python tools/data/utd_mhad.py SRC OUT"""

from mmdualhead.datasets.converters import cli, utd_mhad

if __name__ == '__main__':
    args = cli.make_parser(__doc__).parse_args()
    cli.run(args, utd_mhad.scan)
