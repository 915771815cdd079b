_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(coarse_head=dict(windows=(3, 5)))
