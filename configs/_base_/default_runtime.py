# What every run has in common.
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='RunCheckpointHook', interval=1, max_keep_ckpts=2),
    contract=dict(type='CheckpointContractHook'),
    non_finite=dict(type='NonFiniteHook'),
    bad_samples=dict(type='BadSampleHook'))

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

# Written out because mmengine would fill in a CUDA index, which DDP refuses on the CPU; None is right on GPUs too.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=True)

# tools/train.py adds TensorBoard's backend where TensorBoard is installed.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

log_processor = dict(by_epoch=True, window_size=50)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
