# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot_cars.py
# Published: 66.71 % with 16 shots (the authors' notebook). Not run here. Settings as two copies of the
# published code have them; the original has none for this data set.
_base_ = ['./_base_/rn50_cars.py', './_base_/untrained.py']

model = dict(head=dict(type='TipAdapterHead', alpha=3.0, beta=1.0))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(20, 10), steps=(200, 20)))
