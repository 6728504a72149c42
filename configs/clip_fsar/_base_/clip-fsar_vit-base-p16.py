# CLIP-FSAR on OpenAI's CLIP ViT-B/16: both towers of one model, the text tower for class texts only.
_base_ = ['../../_base_/models/few_shot_vit-base-p16_openai.py']
custom_imports = dict(imports=['clipplus.methods.clip_fsar'], allow_failed_imports=False)

model = dict(
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model='ViT-B-16-quickgelu', pretrained='openai', frozen=True)),
    # Shots are averaged before the transformer, as published for 5 shots; for one shot it is the same.
    cls_head=dict(_delete_=True, type='CLIPFSARHead', in_channels=512, shot_merge='before'))
