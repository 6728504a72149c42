# python tools/train.py configs/ape/ape_resnet-tiny_clip-pre_16shot_emoji.py
_base_ = ['./_base_/resnet-tiny_emoji.py', './_base_/untrained.py']

model = dict(head=dict(type='APEHead', num_channels=0.75, weights=(0.5, 0.5), alpha=1.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(7, 7, 1), steps=(200, 20, 20)))
