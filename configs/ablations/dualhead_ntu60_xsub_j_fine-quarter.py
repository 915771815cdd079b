_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(heads=dict(fine=dict(reduction=4)))
