# python tools/train.py configs/ape/ape-t_resnet-tiny_clip-pre_16shot_emoji.py
_base_ = ['./_base_/resnet-tiny_emoji.py', './_base_/trained.py']

model = dict(head=dict(type='APETHead', num_channels=0.75, weights=(0.2, 0.8), alpha=1.0, beta=1.0))
train_cfg = dict(max_epochs=20, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=20, end=20, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='held_out/top1'))
