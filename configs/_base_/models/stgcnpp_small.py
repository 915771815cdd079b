# ST-GCN++ (MMAction2's) with half its channels, as dualhead_small.py.
_base_ = 'stgcn_small.py'

model = dict(
    backbone=dict(
        gcn_adaptive='init',
        gcn_with_res=True,
        tcn_type='mstcn',
        graph_cfg=dict(mode='spatial'),
    ),
)
