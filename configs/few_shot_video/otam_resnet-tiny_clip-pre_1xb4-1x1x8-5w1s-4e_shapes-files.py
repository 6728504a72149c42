# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
# python tools/test.py configs/few_shot_video/otam_resnet-tiny_clip-pre_1xb4-1x1x8-5w1s-4e_shapes-files.py
# The test is that of a frozen CLIP, which has seen single pictures only; tools/train.py would go on from it.
_base_ = ['./otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py']

tower = dict(embed_dim=128, vision_cfg=dict(image_size=64, width=24), text_cfg=dict(width=128, heads=4, layers=2))
model = dict(
    backbone=dict(model=tower, pretrained='work_dirs/clip_resnet-tiny_1xb128-8e_shapes/epoch_8.pth'),
    data_preprocessor=dict(size=(64, 64)))
