"""Make the synthetic data set of the quickstart.

python tools/data/synthetic.py data/skeleton/synthetic.pkl
"""

import argparse
import sys

from mmdualhead.datasets.converters.writers import write_pickle
from mmdualhead.datasets.synthetic import dataset as synthetic


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', help='the annotation file to write')
    parser.add_argument('--subjects', type=int, default=synthetic.SUBJECTS, help='default: %(default)s')
    parser.add_argument('--repetitions', type=int, default=synthetic.REPETITIONS, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    dataset = synthetic.generate(subjects=args.subjects, repetitions=args.repetitions, seed=args.seed)
    write_pickle(args.out, dataset)
    sizes = ', '.join(f'{name} {len(clips)}' for name, clips in dataset['split'].items())
    print(f'{args.out}: {len(dataset["annotations"])} clips of {len(synthetic.CLASSES)} actions ({sizes})')


if __name__ == '__main__':
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
