# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_fgvc.py
# Published: 29.94 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_fgvc.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=5.0, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(30, 30), steps=(200, 20)))
