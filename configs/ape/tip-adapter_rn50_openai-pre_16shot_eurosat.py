# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_eurosat.py
# Published: 70.63 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_eurosat.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=2.0, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(12, 10), steps=(200, 20)))
