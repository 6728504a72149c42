# python tools/train.py configs/few_shot_video/trx_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py
# Pairs and triples of frames (Perrett et al. 2021); keys and values as wide as the features, as 1152 is about half of a ResNet-50's.
_base_ = ['./otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py']

model = dict(
    cls_head=dict(matcher=dict(_delete_=True, type='TRXMatcher', in_channels=64, out_channels=64, cardinalities=(2, 3))))
