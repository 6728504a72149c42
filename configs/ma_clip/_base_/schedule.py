# Adam with decoupled decay, none on biases, norms, the temporal embedding and gates. Nothing of it is published: rates are those
# of the nearest published adapters on CLIP (D2ST-Adapter), an update averages over 16 episodes.
optim_wrapper = dict(
    type='AutoAmpOptimWrapper',
    dtype='bfloat16',
    constructor='CLIPOptimWrapperConstructor',
    accumulative_counts=16,
    clip_grad=dict(max_norm=5.0),
    optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys={'temporal_embedding': dict(decay_mult=0.0)}))
auto_scale_lr = dict(base_batch_size=16, enable=False)
