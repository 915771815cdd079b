_base_ = ['_base_/models/msg3d.py', '_base_/benchmarks/ntu60_xview.py']
