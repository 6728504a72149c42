# python tools/train.py configs/clip_fsar/clip-fsar_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-full.py
# Published: 61.9 / 64.9 / 68.1 / 70.9 / 72.1 % with 1 to 5 shots (table 1). Not run here.
_base_ = ['./_base_/clip-fsar_vit-base-p16.py', './_base_/vit-base-p16_ssv2-full.py']
model = dict(cls_head=dict(class_loss_weight=3.0))
