# python tools/train.py configs/ma_clip/ma-fsar_vit-base-p16_openai-pre_1xb1-accum16-1x1x8-5w1s-1250iters_ssv2-small.py
# No number was published that could be checked. Not run here.
_base_ = ['./_base_/ma-fsar_vit-base-p16.py', './_base_/ssv2-small.py']
model = dict(backbone=dict(adapter=dict(joint_scale=1.0)))
