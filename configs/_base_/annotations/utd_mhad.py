# UTD-MHAD: the annotation file, which the benchmarks in 3-D and in 2-D share.
annotations = dict(
    ann_file='data/skeleton/utd_mhad.pkl',
    num_classes=27,
    ann_source='Skeletons: https://personal.utdallas.edu/~kehtar/UTD-MHAD.html; then '
    'mmdualhead data utd_mhad SKELETON_FOLDER data/skeleton/utd_mhad.pkl',
)
