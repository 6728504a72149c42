# python tools/train.py configs/clip_fsar/clip-fsar_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-750iters_ucf101.py
# Published: 91.3 / 95.1 / 97.0 % with 1 / 3 / 5 shots (table 2). Not run here.
_base_ = ['./_base_/clip-fsar_rn50.py', './_base_/rn50_ucf101.py']
model = dict(cls_head=dict(class_loss_weight=1.5))
