# python tools/train.py configs/few_shot_video/bi-mhm_rn50_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# Published: 77.1 / 88.9 % with 1 / 5 shots (CLIP-FSAR, table 3). Not run here.
_base_ = ['./_base_/bi-mhm_rn50.py', './_base_/rn50_kinetics100.py']
model = dict(data_preprocessor=_base_.query_draws)
