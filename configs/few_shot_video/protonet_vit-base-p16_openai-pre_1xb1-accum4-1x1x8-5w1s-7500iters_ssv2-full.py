# python tools/train.py configs/few_shot_video/protonet_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-full.py
# No numbers were published. Not run here.
_base_ = ['./_base_/protonet_vit-base-p16.py', './_base_/vit-base-p16_ssv2-full.py']
