"""Convert NW-UCLA's JSON files (aAA_sSS_eEE_vVV.json): python tools/data/nw_ucla.py SRC OUT"""

from mmdualhead.datasets.converters import cli, nw_ucla

if __name__ == '__main__':
    cli.run(cli.make_parser(__doc__), nw_ucla.scan)
