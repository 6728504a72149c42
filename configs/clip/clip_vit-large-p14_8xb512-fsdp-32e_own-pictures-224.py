# bash tools/dist_train.sh configs/clip/clip_vit-large-p14_8xb512-fsdp-32e_own-pictures-224.py 8
# A large tower with weights, gradients and optimiser states spread over the ranks, see docs/scaling.md. Not run at this size.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-large-p14.py', '../_base_/datasets/captions.py',
    '../_base_/schedules/adamw_cosine.py'
]
runner_type = 'FlexibleRunner'
strategy = dict(type='ShardedStrategy')

train_dataloader = dict(
    batch_size=512,
    num_workers=8,
    dataset=dict(
        dataset=dict(
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=224,
                    crop_ratio_range=(0.9, 1.0),
                    interpolation='bicubic'),
                dict(type='SampleCaptions', policy='sample_k', k=1), {{_base_.tokenizer}},
                dict(type='PackCaptions')
            ])))

optim_wrapper = dict(optimizer=dict(lr=5e-4, eps=1e-6))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', T_max=32, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=32)
auto_scale_lr = dict(base_batch_size=4096)

# Class texts are encoded past the wrapper, which alone knows where the shards are: evaluate a checkpoint with
# tools/test.py and a config without strategy and runner_type.
val_cfg, val_dataloader, val_evaluator = None, None, None
test_cfg, test_dataloader, test_evaluator = None, None, None
