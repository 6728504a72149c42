# python tools/train.py configs/ma_clip/ma-clip-trx_vit-base-p32_openai-pre_1xb1-accum16-1x1x8-5w1s-1250iters_ssv2-small.py
# Published: 52.4 % with 1 shot (table 7). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p32.py', './_base_/ssv2-small.py']
model = dict(
    backbone=dict(adapter=dict(joint_scale=1.0)),
    neck=dict(shot_merge='after'),
    cls_head=dict(matcher=dict(_delete_=True, type='TRXMatcher', in_channels=512)))
