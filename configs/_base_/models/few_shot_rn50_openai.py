# OpenAI's CLIP RN50, which sees every frame by itself; heads come from elsewhere.
custom_imports = dict(imports=['clipplus.few_shot_video'], allow_failed_imports=False)
default_scope = 'mmaction'

model = dict(
    type='FewShotRecognizer',
    backbone=dict(type='CLIPImageTower', model='RN50-quickgelu', pretrained='openai'),
    # Supports and queries by themselves: their batch norms have statistics of their own, as published.
    encode='separate',
    cls_head=dict(type='FewShotHead'),
    data_preprocessor=dict(type='FewShotDataPreprocessor', crop=224))
