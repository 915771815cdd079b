# NTU RGB+D 120 in 2-D: joints that HRNet found in the videos, x, y and their scores, in layout coco.
annotations = dict(
    ann_file='data/skeleton/ntu120_2d.pkl',
    num_classes=120,
    ann_source='Download https://download.openmmlab.com/mmaction/v1.0/skeleton/data/ntu120_2d.pkl '
    'or make it from videos as described in docs/data.md',
)
