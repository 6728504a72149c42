# python tools/train.py configs/ape/ape_vit-base-p16_openai-pre_16shot_imagenet.py
# Published: 72.17 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./ape_rn50_openai-pre_16shot_imagenet.py']

# 500 of RN50's 1,024 channels; how many of this tower's is not published.
model = dict(
    image_tower=dict(model='ViT-B-16-quickgelu'),
    text_bank=dict(tower=dict(model='ViT-B-16-quickgelu')),
    head=dict(num_channels=0.488))
