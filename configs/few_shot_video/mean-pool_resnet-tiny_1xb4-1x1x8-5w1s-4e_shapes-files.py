# python tools/train.py configs/few_shot_video/mean-pool_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py
# Averages of frames, which a motion and its reverse share. ProtoNet: --cfg-options
# model.cls_head.matcher.measure=squared_euclidean
_base_ = ['./otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py']

model = dict(cls_head=dict(matcher=dict(_delete_=True, type='MeanPoolMatcher')))
