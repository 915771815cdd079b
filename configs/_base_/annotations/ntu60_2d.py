# NTU RGB+D 60 in 2-D: joints that HRNet found in the videos, x, y and their scores, in layout coco.
annotations = dict(
    ann_file='data/skeleton/ntu60_2d.pkl',
    num_classes=60,
    ann_source='Download https://download.openmmlab.com/mmaction/v1.0/skeleton/data/ntu60_2d.pkl '
    'or make it from videos as described in docs/data.md',
)
