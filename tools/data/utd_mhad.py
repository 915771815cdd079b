"""Convert UTD-MHAD's skeleton files (aA_sS_tT_skeleton.mat): python tools/data/utd_mhad.py SRC OUT"""

from mmdualhead.datasets.converters import cli, utd_mhad

if __name__ == '__main__':
    cli.run(cli.make_parser(__doc__), utd_mhad.scan)
