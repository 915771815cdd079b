"""Convert recordings of one's own: python tools/data/custom.py SRC OUT --labels TABLE --layout NAME"""

from mmdualhead.datasets.converters import cli, custom

if __name__ == '__main__':
    parser = cli.make_parser(__doc__)
    parser.add_argument(
        '--labels', required=True, help='CSV table: clip,label,split and optionally subject,height,width'
    )
    parser.add_argument('--layout', required=True, help='name of a joint layout, or a JSON file defining one')
    parser.add_argument('--name', default='custom', help='what to call the data set')
    parser.add_argument('--classes', help='text file with the name of a class in each line')
    parser.add_argument(
        '--img-shape',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the pictures whose pixels 2-D joints are measured in',
    )
    cli.run(parser, custom.scan)
