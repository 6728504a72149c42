# SSv2-Small: 20,000 episodes (published), in updates of 16.
_base_ = [
    '../../few_shot_video/_base_/benchmark.py', '../../_base_/datasets/few_shot_ssv2-small.py', './schedule.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=125),
    dict(type='MultiStepLR', milestones=[625], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[875], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[1125], gamma=0.5, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=1250, val_interval=250)
# The best weights are chosen on the validation classes.
default_hooks = dict(checkpoint=dict(interval=250, save_best='ssv2_small_1shot/accuracy', rule='greater'))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
