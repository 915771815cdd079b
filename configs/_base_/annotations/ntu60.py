# NTU RGB+D 60: the annotation file, which all its protocols share.
annotations = dict(
    ann_file='data/skeleton/ntu60_3d.pkl',
    num_classes=60,
    ann_source='Download https://download.openmmlab.com/mmaction/v1.0/skeleton/data/ntu60_3d.pkl '
    'or make it from the raw recordings (https://rose1.ntu.edu.sg/dataset/actionRecognition): '
    'mmdualhead data ntu --dataset 60 --missing MISSING_LIST NTU_SKELETONS data/skeleton/ntu60_3d.pkl',
)
