# Heads that train: AdamW with the published rate and eps of most data sets. Weight decay holds for all that trains, the keys'
# weights among it, as published.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='FewShotOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-3, eps=1e-3, weight_decay=0.1))
