# OpenAI's CLIP ViT-B/32; it was trained with QuickGELU.
custom_imports = dict(imports=['clipplus.clip'], allow_failed_imports=False)
default_scope = 'mmpretrain'

tower = 'ViT-B-32-quickgelu'
model = dict(
    type='CLIPModel',
    image_tower=dict(type='CLIPImageTower', model=tower, pretrained='openai'),
    text_tower=dict(type='CLIPTextTower', model=tower, pretrained='openai'),
    loss=dict(type='SoftmaxContrastiveLoss'),
    data_preprocessor=dict(
        type='CaptionDataPreprocessor', host=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True)))
