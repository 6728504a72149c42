# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_food101.py
# Published: 77.87 % with 16 shots (the authors' notebook). Not run here. Settings as a copy of the
# published code has them; the original has none for this data set.
_base_ = ['./_base_/rn50_food101.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=1.17, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(10, 10), steps=(200, 20)))
