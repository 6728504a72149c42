# python tools/data/shapes_videos.py data/shapes_video
# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
# python tools/train.py configs/clip_fsar/clip-fsar_resnet-tiny_clip-pre_1xb2-1x1x8-5w1s-2e_shapes-files.py
_base_ = [
    '../_base_/default_runtime.py', './_base_/clip-fsar_resnet-tiny.py', '../_base_/datasets/shapes_video_files.py',
    '../_base_/schedules/few_shot_adamw.py'
]
train_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=2)
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(shapes_1shot=three, shapes_5shot=three))
test_evaluator = dict(
    sets=dict(
        shapes_1shot=three, shapes_2shot=three, shapes_3shot=three, shapes_4shot=three, shapes_5shot=three))
custom_hooks = [dict(type='ResultTableHook')]
# Not an option: what was set here would no longer reach the sets.
del three
