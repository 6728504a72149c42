# python tools/train.py configs/few_shot_video/otam_vit-base-p16_openai-pre_1xb1-accum4-8x35x1-5w1s-1250iters_kinetics100.py
# Published: 88.2 / 92.4 / 93.6 / 94.2 / 94.8 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1). Not run here.
_base_ = ['./_base_/otam_vit-base-p16.py', './_base_/vit-base-p16_kinetics100.py']
model = dict(data_preprocessor=_base_.query_draws)
