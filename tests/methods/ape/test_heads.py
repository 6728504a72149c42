"""The heads that configs build: golden files of the published code, identities between methods, their files."""

import ast
import json
import re

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmpretrain.registry import MODELS
from torch.nn.functional import normalize

import clipplus.methods.ape
from clipplus.evaluation import ImageFeatures
from clipplus.methods.ape.checkpoints import read_official
from clipplus.methods.ape.logits import unit
from clipplus.methods.ape.refinement import ClassTotals, interclass_similarity
from clipplus.methods.ape.search import SearchGrid, SearchResult, search_grid
from clipplus.text import ClassTextBank
from clipplus.text.bank import average_prompts
from clipplus.text.class_names import readable_names

EXACT = {torch.float64: dict(rtol=1e-9, atol=1e-10), torch.float32: dict(rtol=1e-4, atol=1e-6)}
LOGITS = {torch.float64: dict(rtol=1e-9, atol=1e-10), torch.float32: dict(rtol=1e-5, atol=1e-4)}


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    assert clipplus.methods.ape  # registers the heads
    init_default_scope("mmpretrain")


class Case:
    """A golden file whose inputs are cast to the dtype that it was computed in; it may lack any output."""

    def __init__(self, golden) -> None:
        if "dtype" not in golden.metadata:
            pytest.skip("no parity target: the file names no dtype")
        self.golden, self.metadata = golden, golden.metadata
        self.dtype = getattr(torch, golden.metadata["dtype"].removeprefix("torch."))
        self.config = json.loads(golden.metadata["config"])

    def __getitem__(self, name: str) -> torch.Tensor:
        value = self.golden[name]
        return value.to(self.dtype) if value.is_floating_point() else value

    def head(self, **config):
        """A fitted head."""
        head = MODELS.build(config)
        head.fit(self["clip_weights"].T, self["cache_keys"], self["cache_labels"])
        return head

    def init(self, *names: str) -> dict[str, float]:
        return {name: self.config[f"init_{name}"] for name in names}

    def search(self, head, values: int, split: str = "val") -> SearchResult:
        """The grid of the file, for the first `values` of beta, alpha, gamma."""
        grid = SearchGrid(self.config["search_scale"][:values], self.config["search_step"][:values])
        with torch.no_grad():
            zero_shot, similarity = head.terms(self[f"{split}_features"])
            weights, targets = head.key_weights(grid.gammas), self[f"{split}_labels"]
            return search_grid(zero_shot, similarity, head.cache_labels, weights, targets, grid)

    def check(self, name: str, value: torch.Tensor, tolerances=EXACT, **other) -> None:
        if name in self.golden:
            expected = self.golden[name].to(value.dtype)
            torch.testing.assert_close(value.detach(), expected, **{**tolerances[self.dtype], **other})

    def check_values(self, name: str, values: list[float], rtol: float = 0, atol: float = 1e-9) -> None:
        """Accuracies, rates, positions: the same in all precisions."""
        self.check(name, torch.tensor(values, dtype=torch.float64), rtol=rtol, atol=atol)

    def check_channels(self, channels: torch.Tensor) -> None:
        """With their order."""
        self.check("indices", channels, rtol=0, atol=0)

    def check_table(self, name: str, best: str, result: SearchResult) -> None:
        if name not in self.golden:
            return
        table = result.accuracy if result.accuracy.dim() == self.golden[name].dim() else result.accuracy[..., 0]
        torch.testing.assert_close(table, self.golden[name].double(), rtol=0, atol=1e-9)
        names = ("alpha", "beta", "gamma")[: len(self.golden[best])]
        found = torch.tensor([result.best[value] for value in names], dtype=torch.float64)
        torch.testing.assert_close(found, self.golden[best].double(), rtol=0, atol=1e-12)


def top1(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float((logits.argmax(1) == labels).double().mean() * 100)


@pytest.mark.golden("ape", "ape_")
def test_golden_ape(golden) -> None:
    case = Case(golden)
    config = case.config
    head = case.head(
        type="APEHead", num_channels=config["training_free_feat_num"], weights=config["w"],
        **case.init("alpha", "beta", "gamma"),
    )  # fmt: skip
    case.check_channels(head.channels)
    case.check("sim_all", interclass_similarity(ClassTotals(head.class_sum, head.class_count)))
    texts = unit(head.text_weight[:, head.channels])
    case.check("new_clip_weights", texts.T)
    case.check("new_cache_keys", head.refined_keys)
    case.check("key_probs", (head.refined_keys @ texts.T).softmax(dim=1))
    case.check("cache_div", head.divergence)
    case.check("R_FW_init", head.key_weights([config["init_gamma"]])[0])
    zero_shot = head.terms(case["test_features"])[0]
    case.check("zs_logits_test", zero_shot, LOGITS)
    before = head(case["test_features"])
    case.check("ape_logits_test_init", before, LOGITS)

    result = case.search(head, 3)
    case.check_table("grid_acc", "best", result)
    assert result.cells_at_max == int(case.metadata["cells_at_max"])
    for name in ("alphas", "betas", "gammas"):
        case.check_values(name, getattr(result.grid, name).tolist(), atol=1e-12)
    head.choose(
        alpha=float(result.grid.alphas[0]), beta=float(result.grid.betas[0]), gamma=float(result.grid.gammas[0])
    )
    case.check("first_grid_logits_val", head(case["val_features"]), LOGITS)

    head.choose(**result.best)
    after = head(case["test_features"])
    case.check("ape_logits_test_best", after, LOGITS)
    labels = case["test_labels"]
    case.check_values("acc", [top1(zero_shot, labels), top1(before, labels), result.best_accuracy, top1(after, labels)])
    # Keys that are the selected channels themselves show what they are compared with.
    head.refined_keys = torch.eye(len(head.channels), dtype=case.dtype)
    for split in ("val", "test"):
        case.check(f"new_{split}", head.terms(case[f"{split}_features"])[1])


def training(head, optimizer: dict, epochs: int, steps: int):
    """Optimiser and schedule as a config builds them: AdamW, cosine per step to 0."""
    wrapper = build_optim_wrapper(head, dict(type="OptimWrapper", optimizer=dict(type="AdamW", **optimizer)))
    scheduler = PARAM_SCHEDULERS.build(
        dict(type="CosineAnnealingLR", optimizer=wrapper, T_max=epochs, end=epochs, convert_to_iter_based=True),
        default_args=dict(epoch_length=steps),
    )
    return wrapper, scheduler


def batches(features: torch.Tensor, labels: torch.Tensor, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(normalize(features, dim=-1).split(size), labels.split(size), strict=True))


def one_step(head, wrapper: OptimWrapper, scheduler, features: torch.Tensor, labels: torch.Tensor) -> dict:
    """Loss, rate and gradients of a step, which is taken."""
    lr = wrapper.get_lr()["lr"][0]
    loss = head.loss(features, labels)["loss_class"]
    loss.backward()
    grads = {name: parameter.grad.clone() for name, parameter in head.named_parameters()}
    wrapper.step()
    wrapper.zero_grad()
    scheduler.step()
    return dict(loss=loss.detach(), lr=lr, grads=grads)


@pytest.mark.golden("ape", "apet_")
def test_golden_apet(golden) -> None:
    case = Case(golden)
    config = case.config
    head = MODELS.build(
        dict(type="APETHead", num_channels=config["training_feat_num"], weights=config["w_training"],
             criterion_source=case.metadata["criterion_source"], **case.init("alpha", "beta"))
    )  # fmt: skip
    epochs, size = int(case.metadata["epochs"]), int(case.metadata["batch"])
    per_epoch = -(-golden["train_feats"].shape[1] // size)
    optimizer = dict(
        lr=config["lr"], eps=config["eps"], weight_decay=float(case.metadata["weight_decay"]),
        betas=tuple(json.loads(case.metadata["betas"])),
    )  # fmt: skip
    # Built before the fit, as the Runner does.
    wrapper, scheduler = training(head, optimizer, epochs, per_epoch)
    head.fit(case["clip_weights"].T, case["cache_keys"], case["cache_labels"])
    case.check_channels(head.channels)

    steps, accuracies, weights = [], [], []
    for epoch in range(epochs):
        for features, labels in batches(case["train_feats"][epoch], case["train_labels"][epoch], size):
            if not steps:
                case.check("train_logits_step0", head(features), LOGITS)
            if len(steps) == epochs * per_epoch - 1:
                case.check("train_logits_last", head(features), LOGITS)
            steps.append(one_step(head, wrapper, scheduler, features, labels))
            residual, values = head.residual.detach().clone(), head.value_weights.detach().clone()
            steps[-1].update(residual=residual, values=values)
        accuracies.append(top1(head(case["val_features"]), case["val_labels"]))
        weights.append({name: value.clone() for name, value in head.state_dict().items()})
    case.check("losses", torch.stack([step["loss"] for step in steps]))
    case.check_values("lrs", [step["lr"] for step in steps], rtol=1e-9, atol=1e-15)
    case.check("res_steps", torch.stack([step["residual"] for step in steps]))
    case.check("value_weights_steps", torch.stack([step["values"] for step in steps])[..., None])
    gradient = dict(atol=5e-5) if case.dtype == torch.float32 else {}
    case.check("grad_res", torch.stack([step["grads"]["residual"] for step in steps[:3]]), **gradient)
    values = torch.stack([step["grads"]["value_weights"] for step in steps[:3]])[..., None]
    case.check("grad_value_weights", values, **gradient)
    case.check("val_logits_last", head(case["val_features"]), LOGITS)

    case.check_values("val_acc", accuracies)
    best_epoch = accuracies.index(max(accuracies))
    case.check_values("best_epoch", [best_epoch])
    head.load_state_dict(weights[best_epoch])
    case.check("best_res", head.residual)
    case.check("best_value_weights", head.value_weights[:, None])
    moved_keys, moved_text = head.cache_keys.clone(), head.text_weight.clone()
    moved_keys[:, head.channels] += head.residual.detach()[head.cache_labels]
    moved_text[:, head.channels] += head.residual.detach()
    case.check("new_cache_keys", moved_keys)
    case.check("new_clip_weights", moved_text.T)
    result = case.search(head, 2)
    case.check_table("grid_acc", "best", result)
    head.choose(**result.best)
    logits = head(case["test_features"])
    case.check("test_logits", logits, LOGITS)
    case.check_values("acc", [result.best_accuracy, top1(logits, case["test_labels"])])


@pytest.mark.golden("ape", "tip_")
def test_golden_tip_adapter(golden) -> None:
    case = Case(golden)
    head = case.head(type="TipAdapterHead", **case.init("alpha", "beta"))
    zero_shot, before = head.terms(case["val_features"])[0], head(case["val_features"])
    case.check("zs_logits_val", zero_shot, LOGITS)
    case.check("tip_logits_val_init", before, LOGITS)
    result = case.search(head, 2)
    case.check_table("grid_acc", "best", result)
    head.choose(**result.best)
    after = head(case["test_features"])
    case.check("tip_logits_test_best", after, LOGITS)
    labels = case["val_labels"]
    case.check_values("acc", [top1(zero_shot, labels), top1(before, labels), top1(after, case["test_labels"])])


@pytest.mark.golden("ape", "tip_")
def test_golden_tip_adapter_f(golden) -> None:
    case = Case(golden)
    config = case.config
    head = MODELS.build(dict(type="TipAdapterHead", train_keys=True, **case.init("alpha", "beta")))
    epochs, size = int(case.metadata["epochs"]), int(case.metadata["batch"])
    per_epoch = -(-golden["F_train_feats"].shape[1] // size)
    written = dict(re.findall(r"(\w+)=(\S+)", case.metadata["optimizer"]))
    optimizer = {name: ast.literal_eval(value) for name, value in written.items()}
    wrapper, scheduler = training(head, dict(lr=config["lr"], **optimizer), epochs, per_epoch)
    head.fit(case["clip_weights"].T, case["cache_keys"], case["cache_labels"])

    steps, accuracies, weights = [], [], []
    for epoch in range(epochs):
        for features, labels in batches(case["F_train_feats"][epoch], case["F_train_labels"][epoch], size):
            steps.append(one_step(head, wrapper, scheduler, features, labels))
            if len(steps) == 1:
                case.check("F_weight_step1", head.cache_keys)
        # The published code selects the epoch on the test set.
        accuracies.append(top1(head(case["test_features"]), case["test_labels"]))
        weights.append({name: value.clone() for name, value in head.state_dict().items()})
    case.check("F_losses", torch.stack([step["loss"] for step in steps]))
    case.check_values("F_lrs", [step["lr"] for step in steps], rtol=1e-9, atol=1e-15)
    gradient = dict(atol=5e-5) if case.dtype == torch.float32 else {}
    case.check("F_grad0", steps[0]["grads"]["cache_keys"], **gradient)
    case.check("F_weight_last", head.cache_keys)
    case.check("F_test_logits_last_epoch", head(case["test_features"]), LOGITS)
    case.check_values("F_epoch_test_acc", accuracies)
    best_epoch = accuracies.index(max(accuracies))
    case.check_values("F_best_epoch", [best_epoch])
    head.load_state_dict(weights[best_epoch])
    result = case.search(head, 2)
    case.check_table("F_grid_acc", "F_best", result)
    head.choose(**result.best)
    case.check("F_test_logits_best", head(case["test_features"]), LOGITS)


@pytest.mark.golden("ape", "cache_build")
def test_golden_keys_and_features_of_cache_build(golden, tmp_path) -> None:
    """Views are averaged as they come; the published files of such a cache are read as what we compute ourselves."""
    views = ImageFeatures(golden["raw_aug_features"], golden["labels"], [])
    keys, expected = views.unit_features(torch.float64), golden["keys_official"].T.double()
    torch.testing.assert_close(keys, expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(views.unit_features().double(), expected, rtol=0, atol=1e-6)
    val = ImageFeatures(golden["val_raw"][None], golden["val_labels"], []).unit_features(torch.float64)
    torch.testing.assert_close(val, golden["val_features"].double(), rtol=1e-9, atol=1e-10)
    files = {
        "text_weights_cupl_t": golden["clip_weights"], "keys_3shots": golden["keys_official"],
        "values_3shots": golden["values_official"], "val_f": golden["val_features"], "val_l": golden["val_labels"],
    }  # fmt: skip
    for name, content in files.items():
        torch.save(content.half() if content.is_floating_point() else content, tmp_path / f"{name}.pt")
    found = read_official(tmp_path, 3)
    assert torch.equal(found.labels, views.labels)
    torch.testing.assert_close(found.keys, views.unit_features(), rtol=0, atol=1e-3)
    head = MODELS.build(dict(type="TipAdapterHead"))
    head.fit(golden["clip_weights"].T.double(), keys, golden["labels"])
    classes = torch.nn.functional.one_hot(head.cache_labels, len(head.text_weight))
    assert torch.equal(classes, golden["values_official"].long())


@pytest.mark.golden("ape", "cache_build")
def test_golden_class_texts_of_cache_build(golden, tmp_path) -> None:
    """Templates first, then the class's own prompts; the mean of unit rows, of length 1 again."""
    (tmp_path / "prompts.json").write_text(golden.metadata["prompts"])
    bank = ClassTextBank(
        templates=json.loads(golden.metadata["templates"]), prompts=str(tmp_path / "prompts.json"), add_templates=True
    )
    prompts = bank.class_prompts(readable_names(json.loads(golden.metadata["classnames"])))
    assert [len(of_class) for of_class in prompts] == golden["prompt_counts"].tolist()
    owner = torch.arange(len(prompts)).repeat_interleave(golden["prompt_counts"])
    found = average_prompts(golden["prompt_embeddings"].double(), owner, bank.average, bank.normalize)
    torch.testing.assert_close(found.T, golden["clip_weights"].double(), rtol=1e-9, atol=1e-10)


CLASSES, WIDTH = 4, 12


def rows(count: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """The first rows of an endless list."""
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(64, WIDTH, generator=generator, dtype=torch.float64), dim=1)[:count].to(dtype)


LABELS = torch.tensor([2, 0, 1, 1, 3, 0, 2, 2])
APE = dict(type="APEHead", num_channels=5, weights=(0.6, 0.4), alpha=2.0, beta=1.5, gamma=0.3)
APET = dict(type="APETHead", num_channels=5, alpha=2.0, beta=1.5)
TIP = dict(type="TipAdapterHead", alpha=2.0, beta=1.5)
TIP_F = dict(TIP, train_keys=True)
ZERO_SHOT = dict(type="ZeroShotCacheHead")
HEADS = [ZERO_SHOT, TIP, TIP_F, APE, APET, dict(APET, similarity="refined"), dict(APE, center_kl=True)]
named = pytest.mark.parametrize("config", HEADS, ids=lambda config: "-".join(map(str, config.values())))


def fitted(config: dict, order: torch.Tensor | None = None):
    order = torch.arange(len(LABELS)) if order is None else order
    head = MODELS.build(config)
    head.fit(rows(CLASSES, 1), rows(len(LABELS), 2)[order], LABELS[order])
    return head


def trained(head):
    """With parameters that are not those of the start."""
    with torch.no_grad():
        for seed, parameter in enumerate(head.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return head


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_ape_with_all_channels_and_without_gamma_is_tip_adapter() -> None:
    close(fitted(dict(APE, num_channels=WIDTH, gamma=0.0))(rows(9, 3)), fitted(TIP)(rows(9, 3)))


def test_ape_t_starts_as_tip_adapter() -> None:
    close(fitted(APET)(rows(9, 3)), fitted(TIP)(rows(9, 3)))


@named
def test_alpha_0_is_zero_shot(config: dict) -> None:
    close(fitted(dict(config, alpha=0.0))(rows(9, 3)), fitted(ZERO_SHOT)(rows(9, 3)))


@pytest.mark.parametrize("config", [TIP, APE], ids=["tip", "ape"])
def test_beta_0_adds_the_same_to_every_query(config: dict) -> None:
    added = fitted(dict(config, beta=0.0))(rows(9, 3)) - fitted(ZERO_SHOT)(rows(9, 3))
    close(added, added[:1].expand(9, -1))


@named
def test_order_of_the_cache_does_not_matter(config: dict) -> None:
    order = torch.tensor([3, 7, 0, 5, 1, 6, 4, 2])
    close(fitted(config, order)(rows(9, 3)), fitted(config)(rows(9, 3)))


@named
def test_order_of_the_classes_only_permutes_the_logits(config: dict) -> None:
    moved = torch.tensor([2, 0, 3, 1])  # new position -> class
    head = MODELS.build(config)
    head.fit(rows(CLASSES, 1)[moved], rows(len(LABELS), 2), moved.argsort()[LABELS])
    close(head(rows(9, 3)), fitted(config)(rows(9, 3))[:, moved])


def test_a_doubled_cache_is_a_doubled_alpha() -> None:
    head, twice = fitted(TIP), MODELS.build(TIP)
    twice.fit(rows(CLASSES, 1), rows(len(LABELS), 2).repeat(2, 1), LABELS.repeat(2))
    head.choose(alpha=4.0)
    close(twice(rows(9, 3)), head(rows(9, 3)))


def test_a_doubled_ape_cache_of_the_same_channels_is_a_doubled_alpha() -> None:
    head, twice = fitted(APE), MODELS.build(APE)
    twice.fit(rows(CLASSES, 1), rows(len(LABELS), 2).repeat(2, 1), LABELS.repeat(2))
    twice._put("channels", head.channels)
    twice._prepare()
    head.choose(alpha=4.0)
    close(twice(rows(9, 3)), head(rows(9, 3)))


@pytest.mark.parametrize("config", [APE, APET, dict(APET, similarity="refined")], ids=["ape", "ape-t", "refined"])
def test_order_of_the_channels_does_not_matter(config: dict) -> None:
    head, moved = trained(fitted(config)), trained(fitted(config))
    order = torch.tensor([3, 0, 4, 1, 2])
    moved._put("channels", head.channels[order])
    if config["type"] == "APETHead":
        moved._put("residual", head.residual[:, order].detach())
    moved._prepare()
    close(moved(rows(9, 3)), head(rows(9, 3)))


@named
def test_terms_and_weights_give_forwards_logits(config: dict) -> None:
    head = trained(fitted(config))
    zero_shot, similarity = head.terms(rows(9, 3))
    affinity = torch.exp(-head.beta * (1 - similarity)) * head.key_weights([float(head.gamma)])[0]
    one_hot = torch.nn.functional.one_hot(head.cache_labels, CLASSES).double()
    close(zero_shot + head.alpha * affinity @ one_hot, head(rows(9, 3)))


def plain_ape_t(head, features: torch.Tensor) -> torch.Tensor:
    """The published form, with copies of texts and keys."""
    text, keys = head.text_weight.clone(), head.cache_keys.clone()
    text[:, head.channels] += head.residual
    keys[:, head.channels] += head.residual[head.cache_labels]
    affinity = torch.exp(-head.beta * (1 - features @ keys.T)) * head.value_weights
    return 100 * features @ text.T + head.alpha * affinity @ torch.nn.functional.one_hot(head.cache_labels).double()


def test_ape_t_equals_its_plain_form_with_its_gradients() -> None:
    head = trained(fitted(APET))
    targets = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])
    gradients = []
    for logits in (head(rows(9, 3)), plain_ape_t(head, rows(9, 3))):
        loss = torch.nn.functional.cross_entropy(logits, targets)
        gradients.append((logits, *torch.autograd.grad(loss, [head.residual, head.value_weights])))
    for one, other in zip(*gradients, strict=True):
        close(one, other)


def test_ape_t_ends_where_its_plain_form_ends_after_20_updates() -> None:
    targets, ends = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0]), []
    for logits in (lambda head: head(rows(9, 3)), lambda head: plain_ape_t(head, rows(9, 3))):
        head = fitted(APET)
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits(head), targets).backward()
            optimizer.step()
        ends.append((head.residual.detach(), head.value_weights.detach()))
    for one, other in zip(*ends, strict=True):
        close(one, other)
    assert float(ends[0][0].abs().max()) > 1e-3


@named
def test_fitting_again_forgets_the_first_fit(config: dict) -> None:
    head = trained(fitted(config))
    more = torch.cat([LABELS, torch.tensor([4])])
    for texts, labels in ((CLASSES + 1, more), (CLASSES, LABELS)):
        head.fit(rows(texts, 1), rows(len(labels), 2), labels)
    close(head(rows(9, 3)), fitted(config)(rows(9, 3)))


@named
def test_an_optimiser_that_was_built_first_trains_the_fitted_head(config: dict) -> None:
    head = MODELS.build(config)
    known = list(head.parameters())
    head.fit(rows(CLASSES, 1), rows(len(LABELS), 2), LABELS)
    assert [id(parameter) for parameter in head.parameters()] == [id(parameter) for parameter in known]


def test_value_weights_can_be_kept() -> None:
    head = fitted(dict(APET, train_value_weights=False))
    head.loss(rows(3, 3), torch.tensor([0, 1, 2]))["loss_class"].backward()
    assert head.value_weights.grad is None
    assert head.residual.grad is not None


def test_half_precision_features_give_float32_logits() -> None:
    head = MODELS.build(APE)
    head.fit(rows(CLASSES, 1, torch.float16), rows(len(LABELS), 2, torch.float16), LABELS)
    logits = head(rows(9, 3, torch.bfloat16))
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), fitted(APE)(rows(9, 3)), rtol=0, atol=0.5)


@pytest.mark.parametrize(("num", "channels"), [(0.5, 6), (1.0, 12), (0.01, 1), (7, 7)])
def test_channels_are_a_number_or_a_fraction(num: float, channels: int) -> None:
    assert len(fitted(dict(APE, num_channels=num)).channels) == channels


@named
def test_extending_equals_fitting_everything_at_once(config: dict) -> None:
    """New shots of old classes, and a new class."""
    text, keys = rows(CLASSES + 1, 1), rows(len(LABELS) + 3, 2)
    labels = torch.cat([LABELS, torch.tensor([4, 0, 4])])
    head, whole = fitted(config), MODELS.build(config)
    whole.fit(text, keys, labels)
    head.extend(keys[len(LABELS) :], labels[len(LABELS) :], text[CLASSES:])
    close(head(rows(9, 3)), whole(rows(9, 3)))
    for name, value in whole.state_dict().items():
        close(head.state_dict()[name], value)


def test_extending_keeps_what_was_trained() -> None:
    head = trained(fitted(dict(APET, num_channels=WIDTH)))
    before = head.residual.detach()[:, head.channels.argsort()].clone()
    head.extend(rows(1, 7), torch.tensor([1]))
    assert torch.equal(head.residual.detach()[:, head.channels.argsort()], before)
    assert head.value_weights[-1] == 1


@named
def test_a_loaded_head_is_bit_equal_whatever_its_loader_checks(config: dict) -> None:
    head, empty = trained(fitted(config)), MODELS.build(config)
    head.choose(alpha=0.123456789123456789)
    state = {f"head.{name}": value for name, value in head.state_dict().items()}
    torch.nn.ModuleDict({"head": empty}).load_state_dict(state, strict=False)
    assert empty.is_fitted
    assert torch.equal(empty(rows(9, 3)), head(rows(9, 3)))


def test_an_empty_head_can_be_saved_and_loaded() -> None:
    empty = MODELS.build(APE)
    empty.load_state_dict(MODELS.build(APE).state_dict())
    assert not empty.is_fitted


def test_a_file_of_another_head_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no channels, .* fitting a APEHead"):
        MODELS.build(APE).load_state_dict(fitted(TIP).state_dict(), strict=False)
    with pytest.raises(ValueError, match=r"channels, .*which a TipAdapterHead has not"):
        MODELS.build(TIP).load_state_dict(fitted(APE).state_dict(), strict=False)


@pytest.mark.parametrize("head", [dict(TIP, num_classes=7), dict(APE, num_classes=7)], ids=["tip", "ape"])
def test_another_number_of_classes_is_refused(head: dict) -> None:
    with pytest.raises(ValueError, match="num_classes=7, but there are 4 class texts"):
        fitted(head)
    state = fitted({name: value for name, value in head.items() if name != "num_classes"}).state_dict()
    with pytest.raises(ValueError, match="has 4 classes, but 7 are expected"):
        MODELS.build(head).load_state_dict(state, strict=False)


def test_the_scale_of_the_towers_can_be_taken() -> None:
    head = fitted(dict(ZERO_SHOT, logit_scale="model"))
    with pytest.raises(ValueError, match="state a number"):
        head(rows(1, 3))
    head.model_scale = 50.0
    close(head(rows(9, 3)), fitted(ZERO_SHOT)(rows(9, 3)) / 2)
