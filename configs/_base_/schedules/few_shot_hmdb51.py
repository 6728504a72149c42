# CLIP-FSAR's RN50 schedule for HMDB51: 5,000 episodes, in updates of four.
_base_ = ['./few_shot_adam.py']

optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=176),
    dict(type='MultiStepLR', milestones=[350, 525], gamma=0.1, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=1250, val_interval=75)
