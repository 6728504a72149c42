# python tools/train.py configs/few_shot_video/trx_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-1250iters_hmdb51.py
# No numbers were published. Not run here.
_base_ = ['./_base_/trx_vit-base-p16.py', './_base_/vit-base-p16_hmdb51.py']
