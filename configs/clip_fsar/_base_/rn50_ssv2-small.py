# SSv2-Small: three accuracies of every test.
_base_ = ['../../few_shot_video/_base_/rn50_ssv2-small.py']
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(ssv2_small_1shot=three))
test_evaluator = dict(
    sets=dict(
        ssv2_small_1shot=three,
        ssv2_small_2shot=three,
        ssv2_small_3shot=three,
        ssv2_small_4shot=three,
        ssv2_small_5shot=three))
# Not an option: what was set here would no longer reach the sets.
del three
