# python tools/test.py configs/clip/clip_vit-base-p32_openai-pre_zeroshot_imagenet.py
# OpenAI's weights on ImageNet-1k's validation images, zero-shot, see docs/zero_shot.md. Not run yet.
_base_ = ['../_base_/default_runtime.py', '../_base_/datasets/zeroshot_imagenet.py']
custom_imports = dict(imports=['clipplus.clip'], allow_failed_imports=False)
default_scope = 'mmpretrain'

# OpenAI trained with QuickGELU.
tower = 'ViT-B-32-quickgelu'
model = dict(
    type='CLIPModel',
    image_tower=dict(type='CLIPImageTower', model=tower, pretrained='openai'),
    text_tower=dict(type='CLIPTextTower', model=tower, pretrained='openai'),
    loss=dict(type='SoftmaxContrastiveLoss'),
    data_preprocessor=dict(
        type='CaptionDataPreprocessor', host=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True)))

custom_hooks = [dict(type='ResultTableHook', baselines={'chance': {'imagenet/top1': 0.1, 'imagenet/top5': 0.5}})]
