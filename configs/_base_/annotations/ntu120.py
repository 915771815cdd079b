# NTU RGB+D 120: the annotation file, which all its protocols share.
annotations = dict(
    ann_file='data/skeleton/ntu120_3d.pkl',
    num_classes=120,
    ann_source='MMAction2 offers it for download (see its configs/skeleton); from the raw recordings of '
    'https://rose1.ntu.edu.sg/dataset/actionRecognition it is made by: python tools/data/ntu.py '
    '--dataset 120 --missing MISSING_LIST NTU_SKELETONS data/skeleton/ntu120_3d.pkl',
)
