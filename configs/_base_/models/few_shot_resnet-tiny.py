# A small convolutional tower that sees every frame by itself, at 32 px.
custom_imports = dict(imports=['clipplus.few_shot_video'], allow_failed_imports=False)
default_scope = 'mmaction'

tower = dict(
    embed_dim=64,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=None, width=16, layers=[1, 1, 1, 1]),
    text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=2, layers=1))

model = dict(
    type='FewShotRecognizer',
    backbone=dict(type='CLIPImageTower', model=tower),
    cls_head=dict(type='FewShotHead', matcher=dict(type='OTAMMatcher', smoothing=0.1, shots='distance_mean')),
    data_preprocessor=dict(type='FewShotDataPreprocessor'))
