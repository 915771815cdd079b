_base_ = ['_base_/models/dualhead.py', '_base_/benchmarks/ntu60_xview.py']
