# python tools/data/shapes_videos.py data/shapes_video
# python tools/train.py configs/few_shot_video/otam_resnet-tiny_1xb4-1x1x8-5w1s-2e_shapes-files.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/few_shot_resnet-tiny.py',
    '../_base_/datasets/shapes_video_files.py', '../_base_/schedules/few_shot_adamw.py'
]
# Files have 64 px, the tower 32.
model = dict(data_preprocessor=dict(size=(32, 32)))
custom_hooks = [dict(type='ResultTableHook')]
