# python tools/train.py configs/ape/tip-adapter_resnet-tiny_clip-pre_16shot_emoji.py
_base_ = ['./_base_/resnet-tiny_emoji.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=1.0, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
