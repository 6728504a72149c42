# python tools/train.py configs/few_shot_video/protonet_rn50_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# No numbers were published. Not run here.
_base_ = ['./_base_/protonet_rn50.py', './_base_/rn50_kinetics100.py']
model = dict(data_preprocessor=_base_.query_draws)
