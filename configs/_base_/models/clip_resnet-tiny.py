# A small CLIP with a convolutional image tower, which learns from few pictures: 64 px, 9.8 million parameters, of which
# CLIP's 49,408 token embeddings are 6.3 million.
custom_imports = dict(imports=['clipplus.clip'], allow_failed_imports=False)
default_scope = 'mmpretrain'

tower = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=None, width=24, layers=[1, 1, 1, 1]),
    text_cfg=dict(context_length=77, vocab_size=49408, width=128, heads=4, layers=2))

model = dict(
    type='CLIPModel',
    image_tower=dict(type='CLIPImageTower', model=tower),
    text_tower=dict(type='CLIPTextTower', model=tower),
    loss=dict(type='SoftmaxContrastiveLoss'),
    data_preprocessor=dict(
        type='CaptionDataPreprocessor', host=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True)))

custom_hooks = [dict(type='LogitScaleClampHook')]
