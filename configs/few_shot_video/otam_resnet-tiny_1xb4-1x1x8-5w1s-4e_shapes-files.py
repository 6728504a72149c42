# python tools/data/shapes_videos.py data/shapes_video
# python tools/train.py configs/few_shot_video/otam_resnet-tiny_1xb4-1x1x8-5w1s-4e_shapes-files.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/few_shot_resnet-tiny.py',
    '../_base_/datasets/shapes_video_files.py', '../_base_/schedules/few_shot_adamw.py'
]
# Files have 64 px, the tower 32.
model = dict(data_preprocessor=dict(size=(32, 32)))
# With half of it, one start in three has hardly begun to learn.
train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, convert_to_iter_based=True)
]
custom_hooks = [dict(type='ResultTableHook')]
