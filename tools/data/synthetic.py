"""Make the synthetic data set of the quickstart.

python tools/data/synthetic.py data/skeleton/synthetic.pkl
"""

import argparse
import sys

from mmdualhead.datasets.converters.writers import write_pickle
from mmdualhead.datasets.synthetic import dataset as synthetic

if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', help='the annotation file to write')
    parser.add_argument('--subjects', type=int, default=synthetic.SUBJECTS, help='default: %(default)s')
    parser.add_argument('--repetitions', type=int, default=synthetic.REPETITIONS, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    options = vars(parser.parse_args())
    out = options.pop('out')
    try:
        dataset = synthetic.generate(**options)
        write_pickle(out, dataset)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    sizes = ', '.join(f'{name} {len(clips)}' for name, clips in dataset['split'].items())
    print(f'{out}: {len(dataset["annotations"])} clips of {len(synthetic.CLASSES)} actions ({sizes})')
