# SSv2-Full: three accuracies of every test.
_base_ = ['../../few_shot_video/_base_/rn50_ssv2-full.py']
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(ssv2_full_1shot=three))
test_evaluator = dict(
    sets=dict(
        ssv2_full_1shot=three,
        ssv2_full_2shot=three,
        ssv2_full_3shot=three,
        ssv2_full_4shot=three,
        ssv2_full_5shot=three))
# Not an option: what was set here would no longer reach the sets.
del three
