# CLIP-FSAR's optimiser: Adam with L2 on everything whose name holds neither 'bn' nor 'norm', in fp32. An update takes four
# episodes, on one GPU one after the other; on four GPUs set accumulative_counts=1, and nothing else changes.
optim_wrapper = dict(
    type='OptimWrapper',
    accumulative_counts=4,
    optimizer=dict(type='Adam', lr=1e-5, weight_decay=1e-3),
    paramwise_cfg=dict(custom_keys={'bn': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)}))
auto_scale_lr = dict(base_batch_size=4, enable=False)
