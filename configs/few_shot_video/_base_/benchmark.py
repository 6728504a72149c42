# Runs of the benchmarks, counted in updates.
_base_ = ['../../_base_/default_runtime.py']
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='ResultTableHook')]
