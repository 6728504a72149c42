# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_sun397.py
# Published: 66.83 % with 16 shots (the authors' notebook). Not run here. Settings as a copy of the
# published code has them; the original has none for this data set.
_base_ = ['./_base_/rn50_sun397.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=1.17, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(12, 10), steps=(200, 20)))
