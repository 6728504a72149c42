# python tools/train.py configs/clip_fsar/clip-fsar_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-1250iters_hmdb51.py
# Published: 75.8 / 84.1 / 87.7 % with 1 / 3 / 5 shots (table 2). Not run here.
_base_ = ['./_base_/clip-fsar_vit-base-p16.py', './_base_/vit-base-p16_hmdb51.py']
model = dict(cls_head=dict(class_loss_weight=1.2))
