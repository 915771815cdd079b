# Settings of all runs. Importing mmdualhead is a config's only link to the package.
custom_imports = dict(imports=['mmdualhead'], allow_failed_imports=False)
default_scope = 'mmaction'
runner_type = 'DataCheckRunner'

default_hooks = dict(
    config_check=dict(type='ConfigCheckHook'),
    load_check=dict(type='LoadCheckHook'),
    finite_check=dict(type='FiniteCheckHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # The last epoch is what gets tested; the best one would be chosen on test data.
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=1),
    resume=dict(type='ResumeHook'),
    interrupt=dict(type='InterruptHook'),
    fuse=dict(type='FuseHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=80, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

val_evaluator = dict(type='DualHeadMetric')
test_evaluator = [dict(type='DualHeadMetric'), dict(type='DumpScores')]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=True)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
