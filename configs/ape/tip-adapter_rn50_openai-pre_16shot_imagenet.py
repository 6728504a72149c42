# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_imagenet.py
# Published: 62.03 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_imagenet.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=1.17, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(7, 3), steps=(200, 20)))
