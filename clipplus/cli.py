"""The command line: thin, since whatever it does a function does."""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipplus.methods_index import Method, find_methods
from clipplus.version import __version__

if TYPE_CHECKING:
    from clipplus.hosts import Host

# What a user can mend.
_BAD_INPUT = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError)

_EPILOG = """examples:
  clipplus list                                        the methods
  clipplus info configs/clip/NAME.py                   what a config trains and tests
  clipplus info clip                                   a method: paper, configs, commands
  clipplus doctor                                      versions, repairs, and what to do about a broken set
  clipplus predict CHECKPOINT --images a.jpg b.jpg --names cat dog
  clipplus predict CHECKPOINT --supports clips/ --queries new.mp4     clips/<class>/*.mp4 say what the classes look like
  clipplus METHOD COMMAND --help                       a method's own commands
"""


def build_parser() -> argparse.ArgumentParser:
    """All shared commands; a method's own are handed on as they are."""
    parser = argparse.ArgumentParser(
        prog="clipplus", description="Methods that make CLIP better.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"clipplus {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="list the methods").set_defaults(run=run_list)
    info = commands.add_parser("info", help="describe a config or a method")
    info.add_argument("what", metavar="CONFIG|METHOD")
    info.set_defaults(run=run_info)
    doctor = commands.add_parser("doctor", help="check versions and repairs of the libraries underneath")
    doctor.set_defaults(run=run_doctor)
    add_predict_arguments(
        commands.add_parser("predict", help="name what is in pictures or clips", description=run_predict.__doc__)
    )
    return parser


def add_predict_arguments(predict: argparse.ArgumentParser) -> None:
    """Of pictures, which are compared with names, and of clips, which are compared with other clips."""
    predict.add_argument(
        "checkpoint", nargs="?", help="a checkpoint of tools/train.py, or an open_clip model name; for clips it may be "
        "one of few-shot video or a CLIP"
    )  # fmt: skip
    predict.add_argument("--pretrained", help="weights of the open_clip model: a tag or a file")
    predict.add_argument(
        "--quick-gelu", action=argparse.BooleanOptionalAction, help="activation of a weight file that does not say it"
    )
    predict.add_argument("--top", type=int, default=5, help="names printed per picture, or per clip of many classes")
    predict.add_argument("--json", action="store_true", help="print JSON lines")
    pictures = predict.add_argument_group("pictures")
    pictures.add_argument("--images", nargs="+", help="picture files")
    pictures.add_argument("--names", nargs="+", help='class names, e.g. cat dog "red star"')
    pictures.add_argument("--templates", help="template set (name, photo, openai, openai-7); default photo")
    clips = predict.add_argument_group("clips", "files (.mp4, .webm, .avi) or folders of frames")
    clips.add_argument(
        "--supports", nargs="+", metavar="FOLDER", help="labelled clips: a folder with a folder of clips per class, or "
        "the classes' folders"
    )  # fmt: skip
    clips.add_argument("--queries", nargs="+", metavar="CLIP|FOLDER", help="clips to name, or folders of them")
    clips.add_argument(
        "--config", help="few-shot config, for a checkpoint that does not describe itself, or without a checkpoint"
    )
    clips.add_argument(
        "--matcher", choices=("mean-pool", "otam", "bi-mhm"), help="how a CLIP compares clips; default mean-pool"
    )
    clips.add_argument("--out", metavar="FILE.json", help="write classes, predictions and skipped clips")
    clips.add_argument(
        "--picture", metavar="FOLDER", help="draw which frames of each clip were paired with the class's"
    )
    clips.add_argument(
        "--skip-unreadable", action="store_true", help="leave out clips that cannot be read instead of ending"
    )
    predict.set_defaults(run=run_predict)


def run_list(_: argparse.Namespace) -> int:
    """Print every method with one line about it."""
    methods = find_methods()
    width = max(len(method.name) for method in methods)
    for method in methods:
        print(f"{method.name:<{width}}  {method.summary}")
    return 0


def run_info(arguments: argparse.Namespace) -> int:
    """Print what a config does, or what a method is."""
    if arguments.what.endswith(".py"):
        print(describe_config(arguments.what))
        return 0
    by_name = {method.name: method for method in find_methods()}
    if arguments.what not in by_name:
        print(
            f"unknown method '{arguments.what}'; known: {', '.join(by_name)} (or the path of a config)", file=sys.stderr
        )
        return 2
    print(describe_method(by_name[arguments.what]))
    return 0


def describe_method(method: Method) -> str:
    """Docstring, configs and commands of a method."""
    configs = sorted(Path("configs", method.name).glob("*.py"))
    lines = [method.docstring, "", f"custom_imports: {method.module}"]
    lines += ["configs:", *(f"  {path}" for path in configs)] if configs else []
    if (method.folder / "commands.py").is_file():
        lines.append(f"commands: clipplus {method.name} --help")
    return "\n".join(lines)


def describe_config(path: str) -> str:
    """One line per question a reader has about a config.

    Raises:
        FileNotFoundError: no such config.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise FileNotFoundError(f"config {path} does not exist")
    config = Config.fromfile(path, import_custom_modules=False)
    loader = config.get("train_dataloader") or {}
    length = {k: v for k, v in (config.get("train_cfg") or {}).items() if k in ("max_epochs", "max_iters")}
    optimizer = (config.get("optim_wrapper") or {}).get("optimizer") or {}
    rows = {
        "model": config.model.type,
        "imports": ", ".join(config.get("custom_imports", {}).get("imports", [])),
        "scope": config.get("default_scope"),
        "towers": _tower_names(config.model),
        "trains on": _innermost(loader.get("dataset")),
        "batch": loader.get("batch_size"),
        "length": ", ".join(f"{key}={value}" for key, value in length.items()),
        "optimiser": ", ".join(f"{key}={optimizer[key]}" for key in ("type", "lr", "weight_decay") if key in optimizer),
        "validates on": ", ".join((config.get("val_dataloader") or {}).get("sets", {})),
        "tests on": ", ".join((config.get("test_dataloader") or {}).get("sets", {})),
        "seed": config.get("randomness", {}).get("seed"),
    }
    return "\n".join(f"{name:<13} {value}" for name, value in rows.items() if value not in (None, ""))


def _tower_names(model: Any) -> str:
    """'image ViT-B-32, text ViT-B-32', or the sizes of towers that are given as a dict."""
    parts = []
    for part in ("image_tower", "text_tower", "backbone"):
        tower = model.get(part)
        if tower is not None and "model" in tower:
            name = tower.model if isinstance(tower.model, str) else f"custom ({tower.model.embed_dim} wide)"
            start = f" from {tower.pretrained}" if tower.get("pretrained") else ""
            parts.append(f"{part.removesuffix('_tower')} {name}{start}")
    return ", ".join(parts)


def _innermost(dataset: Any) -> str:
    """Type and source of the data set inside of all wrappers."""
    while dataset and dataset.get("dataset"):
        dataset = dataset.dataset
    if not dataset:
        return ""
    source = dataset.get("ann_file") or dataset.get("data_root") or dataset.get("split") or ""
    return f"{dataset.type} {source}".strip()


def run_doctor(_: argparse.Namespace) -> int:
    """Print versions, repairs and advice; 1 when something has to be done."""
    from clipplus.hosts import REPAIRS
    from clipplus.hosts.versions import check_versions

    findings = check_versions()
    if not findings:
        print("clipplus is not installed as a package: run pip install -e . in its folder")
        return 1
    for finding in findings:
        mark = "!!" if finding.advice else "ok"
        print(f"{mark} {finding.name:<16} {finding.installed or 'missing':<14} needed: {finding.needed}")
    usable = [print_repairs(host) for host in REPAIRS]
    advice = [finding.advice for finding in findings if finding.advice]
    if advice:
        print("to do:", *advice, sep="\n  ")
    return 0 if all(usable) and not advice else 1


def print_repairs(host: "Host") -> bool:
    """Repair a host and print what was needed; False when the host does not even get that far."""
    from clipplus.hosts import describe, prepare

    try:
        active = prepare(host)
    # What hosts raise on import when a library below them is missing or of a wrong version.
    except (ImportError, AttributeError, AssertionError, RuntimeError) as error:
        print(f"!! {host} cannot be used: {type(error).__name__}: {error}")
        return False
    print(f"repairs for {host:<11}: {', '.join(active) or 'none needed'}")
    for name in active:
        print(f"  {name}: {describe(name)}")
    return True


def run_predict(arguments: argparse.Namespace) -> int:
    """Name what is in pictures with a trained CLIP, or clips by a few labelled ones."""
    if arguments.top < 1:
        raise ValueError(f"--top must be at least 1, got {arguments.top}")
    _require_one_kind(arguments)
    if arguments.supports:
        from clipplus.few_shot_video.predict_clips import predict_clips

        print(predict_clips(arguments))
    else:
        _predict_pictures(arguments)
    return 0


_OF_PICTURES = ("images", "names", "templates")
_OF_CLIPS = ("supports", "queries", "config", "matcher", "out", "picture", "skip_unreadable")


def _require_one_kind(arguments: argparse.Namespace) -> None:
    """Pictures or clips, and all that either needs.

    Raises:
        ValueError: says which options are missing or do not belong to the others.
    """
    pictures, clips = (
        [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
        for names in (_OF_PICTURES, _OF_CLIPS)
    )
    if pictures and clips:
        raise ValueError(f"{', '.join(pictures)} are for pictures and {', '.join(clips)} for clips: ask for either")
    if pictures and not (arguments.checkpoint and arguments.images and arguments.names):
        raise ValueError("pictures need CHECKPOINT, --images and --names")
    if not pictures and not (arguments.supports and arguments.queries):
        raise ValueError(
            "clips need --supports FOLDER, a folder of clips per class, and --queries"
            if clips
            else "state --images and --names for pictures, or --supports and --queries for clips"
        )


def _predict_pictures(arguments: argparse.Namespace) -> None:
    import clipplus

    model = clipplus.load(arguments.checkpoint, arguments.pretrained, quick_gelu=arguments.quick_gelu)
    results = model.classify(arguments.images, arguments.names, arguments.templates or "photo")
    for image, result in zip(arguments.images, results, strict=True):
        best = result[: arguments.top]
        if arguments.json:
            print(json.dumps({"image": image, "names": best}))
        else:
            print(image, *(f"  {probability:6.1%}  {name}" for name, probability in best), sep="\n")


def run_method_command(method: Method, arguments: Sequence[str]) -> int:
    """Hand the rest of the command line to `main(arguments)` of a method's `commands.py`."""
    if not (method.folder / "commands.py").is_file():
        print(f"method '{method.name}' has no commands of its own", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"{method.module}.commands").main(list(arguments)) or 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code. Bad input ends in one line, not in a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in (by_name := {m.name: m for m in find_methods()}):
            return run_method_command(by_name[arguments[0]], arguments[1:])
        parsed = build_parser().parse_args(arguments)
        return int(parsed.run(parsed))
    except _BAD_INPUT as error:
        print(f"clipplus: {error}", file=sys.stderr)
        return 2
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        from clipplus.engine.build_errors import build_error

        message = build_error(error)
        if message is None:
            raise
        print(f"clipplus: {message}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
