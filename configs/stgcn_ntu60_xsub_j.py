_base_ = ['_base_/models/stgcn.py', '_base_/benchmarks/ntu60_xsub.py']
