_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(attentions=dict(spatial=dict(source='fine')))
