_base_ = 'stgcn_nw_ucla_j.py'

from mmdualhead.datasets.pipelines import with_stream

train_dataloader, val_dataloader, test_dataloader, test_pipeline = with_stream(_base_, 'b')
