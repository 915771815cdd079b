# NW-UCLA: the annotation file, which both recipes share.
annotations = dict(
    ann_file='data/skeleton/nw_ucla.pkl',
    num_classes=10,
    ann_source='It is made from the 1,484 files aAA_sSS_eEE_vVV.json, commonly called all_sqe '
    '(see https://github.com/Uason-Chen/CTR-GCN), by: '
    'mmdualhead data nw_ucla JSON_FOLDER data/skeleton/nw_ucla.pkl',
)
