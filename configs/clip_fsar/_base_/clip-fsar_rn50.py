# CLIP-FSAR on OpenAI's CLIP RN50: both towers of one model, the text tower for class texts only.
_base_ = ['../../_base_/models/few_shot_rn50_openai.py']
custom_imports = dict(imports=['clipplus.methods.clip_fsar'], allow_failed_imports=False)

model = dict(
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model='RN50-quickgelu', pretrained='openai', frozen=True)),
    # Shots are averaged before the transformer, as published for 5 shots; for one shot it is the same.
    cls_head=dict(_delete_=True, type='CLIPFSARHead', in_channels=1024, shot_merge='before'))
