# AdamW with CLIP's betas and weight decay, a short warm-up and a cosine; by update, whatever the batch size.
optim_wrapper = dict(
    type='AutoAmpOptimWrapper',
    constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=8, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='StepLoop', max_epochs=8, val_interval=8)
auto_scale_lr = dict(base_batch_size=128, enable=False)
