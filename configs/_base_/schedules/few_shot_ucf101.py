# CLIP-FSAR's RN50 schedule for UCF101: 3,000 episodes, in updates of four.
_base_ = ['./few_shot_adam.py']

optim_wrapper = dict(optimizer=dict(lr=2e-6))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=151),
    dict(type='MultiStepLR', milestones=[300, 450], gamma=0.1, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=750, val_interval=25)
