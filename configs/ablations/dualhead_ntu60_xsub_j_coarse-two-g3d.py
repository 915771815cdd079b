_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(heads=dict(coarse=dict(windows=(3, 5))))
