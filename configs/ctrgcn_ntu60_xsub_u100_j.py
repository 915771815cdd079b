_base_ = ['_base_/models/ctrgcn.py', '_base_/benchmarks/ntu60_xsub_u100.py']
