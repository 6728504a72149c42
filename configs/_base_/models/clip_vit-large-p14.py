# open_clip's ViT-L/14 from scratch: 224 px, 256 patches, 428 million parameters.
custom_imports = dict(imports=['clipplus.clip', 'clipplus.engine.sharding'], allow_failed_imports=False)
default_scope = 'mmpretrain'

tower = 'ViT-L-14'
model = dict(
    type='CLIPModel',
    image_tower=dict(type='CLIPImageTower', model=tower, grad_checkpointing=True),
    text_tower=dict(type='CLIPTextTower', model=tower, grad_checkpointing=True),
    loss=dict(type='SoftmaxContrastiveLoss', tile=256),
    data_preprocessor=dict(
        type='CaptionDataPreprocessor', host=dict(type='mmpretrain.ClsDataPreprocessor', to_rgb=True)))

custom_hooks = [dict(type='LogitScaleClampHook')]
