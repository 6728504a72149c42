# python tools/train.py configs/clip/clip_vit-tiny-p16_1xb128-8e_shapes-start.py
# A transformer that knows shapes, for methods that need one to start from; a start, not a config that promises are tested on.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-tiny-p8.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_cosine.py'
]
tower = dict(vision_cfg=dict(patch_size=16))
model = dict(image_tower=dict(model=tower), text_tower=dict(model=tower))
custom_hooks = [dict(type='LogitScaleClampHook'), dict(type='ResultTableHook')]
