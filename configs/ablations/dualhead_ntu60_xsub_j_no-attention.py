_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(temporal_attention=None, spatial_attention=None)
