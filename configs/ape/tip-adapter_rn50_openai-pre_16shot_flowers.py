# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_flowers.py
# Published: 89.81 % with 16 shots (the authors' notebook). Not run here. Settings as a copy of the
# published code has them; the original has none for this data set.
_base_ = ['./_base_/rn50_flowers.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=10.0, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(50, 50), steps=(200, 20)))
