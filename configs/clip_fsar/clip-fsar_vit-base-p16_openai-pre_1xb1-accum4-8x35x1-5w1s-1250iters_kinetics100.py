# python tools/train.py configs/clip_fsar/clip-fsar_vit-base-p16_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# Published: 89.7 / 92.9 / 94.2 / 94.8 / 95.0 % with 1 to 5 shots (table 1). Not run here.
_base_ = ['./_base_/clip-fsar_vit-base-p16.py', './_base_/vit-base-p16_kinetics100.py']
model = dict(cls_head=dict(class_loss_weight=1.5))
