# python tools/train.py configs/few_shot_video/bi-mhm_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py
# Every frame finds the nearest one of the other clip, whatever the order.
_base_ = ['./otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py']

model = dict(cls_head=dict(matcher=dict(_delete_=True, type='BiMHMMatcher', shots='distance_mean')))
