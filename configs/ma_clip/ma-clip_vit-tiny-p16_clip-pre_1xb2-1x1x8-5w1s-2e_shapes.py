# python tools/train.py configs/clip/clip_vit-tiny-p16_1xb128-8e_shapes-start.py
# python tools/train.py configs/ma_clip/ma-clip_vit-tiny-p16_clip-pre_1xb2-1x1x8-5w1s-2e_shapes.py
_base_ = [
    '../_base_/default_runtime.py', './_base_/ma-clip_vit-tiny.py', '../_base_/datasets/shapes_video.py',
    '../_base_/schedules/few_shot_adamw.py'
]
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
