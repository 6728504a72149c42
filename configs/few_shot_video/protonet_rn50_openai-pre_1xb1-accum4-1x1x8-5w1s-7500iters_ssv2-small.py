# python tools/train.py configs/few_shot_video/protonet_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-small.py
# No numbers were published. Not run here.
_base_ = ['./_base_/protonet_rn50.py', './_base_/rn50_ssv2-small.py']
