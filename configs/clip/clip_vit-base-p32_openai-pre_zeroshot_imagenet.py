# python tools/test.py configs/clip/clip_vit-base-p32_openai-pre_zeroshot_imagenet.py
# OpenAI's weights on ImageNet-1k's validation images, zero-shot, see docs/zero_shot.md. Not run yet.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-base-p32_openai.py',
    '../_base_/datasets/zeroshot_imagenet.py'
]

custom_hooks = [dict(type='ResultTableHook', baselines={'chance': {'imagenet/top1': 0.1, 'imagenet/top5': 0.5}})]
