_base_ = '../dualhead_ntu60_xsub_j.py'

model = dict(spatial_attention=dict(type='SpatialSelfAttention'))
