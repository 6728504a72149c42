# SSv2-Full: 40,000 episodes (not published), in updates of 16.
_base_ = [
    '../../few_shot_video/_base_/benchmark.py', '../../_base_/datasets/few_shot_ssv2-full.py', './schedule.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', milestones=[1250], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[1750], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[2250], gamma=0.5, by_epoch=False)
]
# No names of its validation classes were published, and texts need names: the last weights are tested.
train_cfg = dict(type='StepLoop', max_iters=2500)
val_cfg = None
val_dataloader = None
val_evaluator = None
default_hooks = dict(checkpoint=dict(interval=500))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
