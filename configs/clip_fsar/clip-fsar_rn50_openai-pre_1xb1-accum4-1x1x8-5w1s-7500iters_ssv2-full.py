# python tools/train.py configs/clip_fsar/clip-fsar_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-full.py
# Published: 58.1 / 59.0 / 60.7 / 61.4 / 62.8 % with 1 to 5 shots (table 1). Not run here.
_base_ = ['./_base_/clip-fsar_rn50.py', './_base_/rn50_ssv2-full.py']
model = dict(cls_head=dict(class_loss_weight=3.0))
