# python tools/train.py configs/few_shot_video/otam_resnet-tiny_1xb4-1x1x8-5w1s-2e_shapes.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/few_shot_resnet-tiny.py', '../_base_/datasets/shapes_video.py',
    '../_base_/schedules/few_shot_adamw.py'
]
custom_hooks = [dict(type='ResultTableHook')]
