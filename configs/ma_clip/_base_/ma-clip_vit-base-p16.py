# MA-CLIP on OpenAI's CLIP ViT-B/16: both towers of one model, frozen; 18.5 million parameters train.
custom_imports = dict(imports=['clipplus.methods.ma_clip'], allow_failed_imports=False)
default_scope = 'mmaction'

model = dict(
    type='FewShotRecognizer',
    backbone=dict(
        type='MACLIPVisualBackbone',
        model='ViT-B-16-quickgelu',
        pretrained='openai',
        num_frames=8,
        adapter=dict(
            ratio=0.25,
            temporal_mode='cls_token',
            num_temporal_adapters=1,
            use_text_token=True,
            joint_scale=0.5,
            extra_token_gate='none')),
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model='ViT-B-16-quickgelu', pretrained='openai', frozen=True)),
    neck=dict(type='TPCM', embed_dim=512, shot_merge='before'),
    cls_head=dict(type='MACLIPHead', matcher=dict(type='OTAMMatcher', smoothing=0.5), alpha=0.5),
    data_preprocessor=dict(type='FewShotDataPreprocessor', crop=224))
