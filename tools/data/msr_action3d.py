"""Convert MSR-Action3D's aAA_sSS_eEE_skeleton3D.txt files: python tools/data/msr_action3d.py SRC OUT"""

from mmdualhead.datasets.converters import cli, msr_action3d

if __name__ == '__main__':
    parser = cli.make_parser(__doc__)
    parser.add_argument(
        '--keep-noisy',
        dest='leave_out',
        action='store_const',
        const=frozenset(),
        default=msr_action3d.NOISY,
        help='also convert the ten clips that papers exclude',
    )
    cli.run(parser, msr_action3d.scan)
