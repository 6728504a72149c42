# MA-CLIP on OpenAI's CLIP RN50: no adapters, the image tower is trained as a whole, with batch norm in eval mode.
custom_imports = dict(imports=['clipplus.methods.ma_clip'], allow_failed_imports=False)
default_scope = 'mmaction'

model = dict(
    type='FewShotRecognizer',
    backbone=dict(type='CLIPImageTower', model='RN50-quickgelu', pretrained='openai', bn_mode='frozen'),
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model='RN50-quickgelu', pretrained='openai', frozen=True)),
    neck=dict(type='TPCM', embed_dim=1024, shot_merge='before'),
    cls_head=dict(type='MACLIPHead', matcher=dict(type='OTAMMatcher', smoothing=0.5), alpha=0.5),
    data_preprocessor=dict(type='FewShotDataPreprocessor', crop=224))
