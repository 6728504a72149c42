# python tools/train.py configs/ma_clip/ma-clip_vit-base-p32_openai-pre_1xb1-accum16-1x1x8-5w1s-2500iters_ssv2-full.py
# Published: 61.9 / 64.5 % with 1 / 5 shots (tables 1 and 2). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p32.py', './_base_/ssv2-full.py']
model = dict(backbone=dict(adapter=dict(joint_scale=1.0)))
