"""Make the synthetic data set of the quickstart.

python tools/data/synthetic.py data/skeleton/synthetic.pkl
"""

from mmdualhead.datasets.converters.writers import write_pickle
from mmdualhead.datasets.synthetic import dataset as synthetic
from mmdualhead.utils.command import make_parser, run_main


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument('out', help='the annotation file to write')
    parser.add_argument('--subjects', type=int, default=synthetic.SUBJECTS, help='default: %(default)s')
    parser.add_argument('--repetitions', type=int, default=synthetic.REPETITIONS, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    options = vars(parser.parse_args())
    out = options.pop('out')
    dataset = synthetic.generate(**options)
    write_pickle(out, dataset)
    sizes = ', '.join(f'{name} {len(clips)}' for name, clips in dataset['split'].items())
    print(f'{out}: {len(dataset["annotations"])} clips of {len(synthetic.CLASSES)} actions ({sizes})')


if __name__ == '__main__':
    run_main(main)
