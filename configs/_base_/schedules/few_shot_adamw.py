# AdamW with a short warm-up and a cosine, for small towers that learn from nothing.
optim_wrapper = dict(
    type='AutoAmpOptimWrapper',
    constructor='CLIPOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='StepLoop', max_epochs=2, val_interval=1)
auto_scale_lr = dict(base_batch_size=4, enable=False)
