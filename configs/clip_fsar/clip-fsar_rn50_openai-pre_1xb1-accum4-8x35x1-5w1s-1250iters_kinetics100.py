# python tools/train.py configs/clip_fsar/clip-fsar_rn50_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# Published: 87.6 / 89.3 / 90.7 / 91.7 / 91.9 % with 1 to 5 shots (table 1). Not run here.
_base_ = ['./_base_/clip-fsar_rn50.py', './_base_/rn50_kinetics100.py']
model = dict(cls_head=dict(class_loss_weight=1.5))
