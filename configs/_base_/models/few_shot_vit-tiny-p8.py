# A small transformer that sees every frame by itself: 32 px, 16 patches.
custom_imports = dict(imports=['clipplus.few_shot_video'], allow_failed_imports=False)
default_scope = 'mmaction'

tower = dict(
    embed_dim=64,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=64, layers=4, head_width=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=64, heads=2, layers=1))

model = dict(
    type='FewShotRecognizer',
    backbone=dict(type='CLIPImageTower', model=tower),
    cls_head=dict(type='FewShotHead', matcher=dict(type='OTAMMatcher', smoothing=0.5)),
    data_preprocessor=dict(type='FewShotDataPreprocessor'))
