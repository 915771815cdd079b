# NTU RGB+D 120: the annotation file, which all its protocols share.
annotations = dict(
    ann_file='data/skeleton/ntu120_3d.pkl',
    num_classes=120,
    ann_source='Download https://download.openmmlab.com/mmaction/v1.0/skeleton/data/ntu120_3d.pkl '
    'or make it from the raw recordings (https://rose1.ntu.edu.sg/dataset/actionRecognition): '
    'mmdualhead data ntu --dataset 120 --missing MISSING_LIST NTU_SKELETONS data/skeleton/ntu120_3d.pkl',
)
