# python tools/train.py configs/ma_clip/ma-clip-bi-mhm_vit-base-p32_openai-pre_1xb1-accum16-1x1x8-5w1s-1250iters_ssv2-small.py
# Published: 56.9 % with 1 shot (table 7). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p32.py', './_base_/ssv2-small.py']
model = dict(
    backbone=dict(adapter=dict(joint_scale=1.0)),
    cls_head=dict(matcher=dict(_delete_=True, type='BiMHMMatcher')))
