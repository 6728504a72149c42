# python tools/train.py configs/few_shot_video/trx_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-1250iters_hmdb51.py
# No numbers were published. Not run here.
_base_ = ['./_base_/trx_rn50.py', './_base_/rn50_hmdb51.py']
