_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(fine_head=dict(reduction=1))
