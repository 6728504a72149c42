# OpenAI's CLIP ViT-B/16, which sees every frame by itself; heads come from elsewhere.
custom_imports = dict(imports=['clipplus.few_shot_video'], allow_failed_imports=False)
default_scope = 'mmaction'

model = dict(
    type='FewShotRecognizer',
    backbone=dict(type='CLIPImageTower', model='ViT-B-16-quickgelu', pretrained='openai'),
    cls_head=dict(type='FewShotHead'),
    data_preprocessor=dict(type='FewShotDataPreprocessor', crop=224))
