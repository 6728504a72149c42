# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
# Measured: zero-shot top-1 53.9 %, R@1 43.2 % / 44.6 % on the test split (val: 52.7 %, 48.4 % / 46.0 %), 4 minutes on two
# cores.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_resnet-tiny.py', '../_base_/datasets/shapes.py',
    '../_base_/schedules/adamw_cosine.py'
]

custom_hooks = [
    dict(type='LogitScaleClampHook'),
    dict(type='PredictionPicturesHook'),
    dict(
        type='ResultTableHook',
        # Measured by tools/analysis/shapes_baselines.py.
        baselines={
            'chance': {
                'shapes_classes/top1': 1.25,
                'shapes_classes/top5': 6.25,
                'shapes_captions/image_to_text_R@1': 0.2,
                'shapes_captions/image_to_text_R@5': 1.0,
                'shapes_captions/text_to_image_R@1': 0.2,
                'shapes_captions/text_to_image_R@5': 1.0
            },
            'colour histogram': {
                'shapes_classes/top1': 17.7,
                'shapes_classes/top5': 68.3,
                'shapes_captions/image_to_text_R@1': 5.6,
                'shapes_captions/image_to_text_R@5': 24.6,
                'shapes_captions/text_to_image_R@1': 7.0,
                'shapes_captions/text_to_image_R@5': 28.0
            }
        })
]
