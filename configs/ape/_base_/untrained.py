# Heads that do not train: nothing to optimise. Their train_cfg says max_epochs=0.
optim_wrapper = dict(type='OptimWrapper', constructor='FewShotOptimWrapperConstructor', optimizer=None)
