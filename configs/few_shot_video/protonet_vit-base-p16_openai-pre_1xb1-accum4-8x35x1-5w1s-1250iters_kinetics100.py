# python tools/train.py configs/few_shot_video/protonet_vit-base-p16_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# No numbers were published. Not run here.
_base_ = ['./_base_/protonet_vit-base-p16.py', './_base_/vit-base-p16_kinetics100.py']
model = dict(data_preprocessor=_base_.query_draws)
