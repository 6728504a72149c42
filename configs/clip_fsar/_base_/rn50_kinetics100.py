# Kinetics-100: three accuracies of every test.
_base_ = ['../../few_shot_video/_base_/rn50_kinetics100.py']
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(kinetics100_1shot=three))
test_evaluator = dict(
    sets=dict(
        kinetics100_1shot=three,
        kinetics100_2shot=three,
        kinetics100_3shot=three,
        kinetics100_4shot=three,
        kinetics100_5shot=three))
# Not an option: what was set here would no longer reach the sets.
del three
