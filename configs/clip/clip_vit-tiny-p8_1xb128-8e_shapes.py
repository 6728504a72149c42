# python tools/train.py configs/clip/clip_vit-tiny-p8_1xb128-8e_shapes.py
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-tiny-p8.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_cosine.py'
]
