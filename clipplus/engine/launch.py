"""From command-line arguments to a Runner: what `tools/train.py` and `tools/test.py` share."""

import argparse
import inspect
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dist import broadcast_object_list, get_rank, init_dist
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing

from clipplus.did_you_mean import did_you_mean
from clipplus.engine.build_errors import BAD_PARTS, build_error
from clipplus.engine.config_layout import remember_layouts
from clipplus.engine.latest import latest_checkpoint, numbered_checkpoints, require_whole
from clipplus.engine.run_checkpoint import CheckpointNotSavedError

# Read by mmengine's Runner from the config itself, not from its arguments.
_READ_BY_RUNNER = ("activation_checkpointing", "compile", "efficient_conv_bn_eval", "find_unused_parameters", "sync_bn",
                   "model_wrapper_cfg", "runner_type")  # fmt: skip

# What a user can mend. Other OSErrors, such as those of a picture that cannot be decoded, keep their traceback.
_BAD_INPUT = (CheckpointNotSavedError, FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError,
              PermissionError, FloatingPointError, ValueError)  # fmt: skip

Launcher = Literal["none", "pytorch", "slurm", "mpi"]


class OptionsAction(DictAction):
    """mmengine's `KEY=VALUE`, which says nothing of an option without `=`."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Take the options."""
        bad = [value for value in values if "=" not in value.lstrip("=")]
        if bad:
            parser.error(f"{option_string}: expected KEY=VALUE, got '{bad[0]}'")
        super().__call__(parser, namespace, values, option_string)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that training and testing have in common."""
    parser.add_argument("config", help="config file, e.g. one of configs/clip/")
    parser.add_argument("--work-dir", help="where logs and results go (default: work_dirs/<config name>)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=OptionsAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. train_dataloader.batch_size=64 optim_wrapper.optimizer.lr=1e-3",
    )
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="how the processes were started; tools/dist_*.sh and tools/slurm_*.sh set it",
    )
    # torchrun's predecessor passes it, mmengine's launchers read the variable.
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(arguments: argparse.Namespace) -> Config:
    """The config with the command line's choices in it.

    Raises:
        FileNotFoundError: no such config.
        ValueError: one that cannot be read; options that do not fit it; a launcher that cannot work here.
    """
    os.environ.setdefault("LOCAL_RANK", str(arguments.local_rank))
    config = read_config(arguments.config)
    if arguments.cfg_options:
        merge_options(config, arguments.cfg_options)
    config.launcher = arguments.launcher
    if arguments.work_dir:
        config.work_dir = arguments.work_dir
    elif not config.get("work_dir"):
        config.work_dir = str(Path("work_dirs") / Path(arguments.config).stem)
    start_processes(arguments.launcher)
    return config


def read_config(path: str | Path) -> Config:
    """The config in a file, which is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no config, or cannot be run.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"config {path} does not exist")
    try:
        return Config.fromfile(path)
    # Another kind of file; a slip of the pen; a module of `custom_imports` that is not there.
    except (OSError, SyntaxError, NameError, ImportError) as error:
        raise ValueError(f"config {path} cannot be read: {type(error).__name__}: {error}") from error


def require_known_options(config: Config, options: Iterable[str]) -> None:
    """Refuse options whose first name means nothing to anybody: merged, they would change nothing.

    Variables of a config file such as `data_root` are among them: the parts that they went into were made when the file
    was read.

    Raises:
        ValueError: an unknown first name, with the nearest known one; a variable, with places where its value is.
    """
    runner: Any = RUNNERS.get(config.runner_type) if config.get("runner_type") else Runner
    read = {*inspect.signature((runner or Runner).__init__).parameters, *_READ_BY_RUNNER}
    for option in options:
        first = option.split(".")[0]
        if first in read:
            continue
        if first not in config:
            raise ValueError(f"--cfg-options {option}: the config has no '{first}'{did_you_mean(first, read)}")
        places = list(itertools.islice(_places_of(config[first], {k: v for k, v in config.items() if k in read}), 3))
        raise ValueError(
            f"--cfg-options {option}: '{first}' is a variable of the config file and has done its work when that is "
            f"read; change it {'there' if not places else 'where it went: ' + ', '.join(places) + ', or in the file'}"
        )


def _places_of(value: Any, part: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys below which a value lies, as it is or, if it is a text, as the beginning of another one."""
    for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
        name = f"{prefix}{key}"
        if inner == value or (isinstance(inner, str) and isinstance(value, str) and value and inner.startswith(value)):
            yield name
        elif isinstance(inner, dict | list | tuple):
            yield from _places_of(value, inner, f"{name}.")


def merge_options(config: Config, options: dict[str, Any]) -> None:
    """Put options of the command line into a config.

    Raises:
        ValueError: see `require_known_options`; or a position or a part that the config does not have.
    """
    require_known_options(config, options)
    try:
        config.merge_from_dict(options)
    # What mmengine raises for positions in lists and for keys below what is no dict.
    except (KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(f"--cfg-options {', '.join(options)} do not fit the config: {error}") from error


def run_tool(main: Callable[[], object]) -> None:
    """Run a tool; bad input ends in one line instead of a traceback, with exit code 2.

    `CLIPPLUS_TRACEBACK=1` shows where it came from.
    """
    try:
        main()
    except SystemExit:
        # Asked to stop (exit code 85): as orderly an end as any other.
        _leave_processes()
        raise
    except _BAD_INPUT as error:
        _end(_message_of(error))
    except BAD_PARTS as error:
        text = build_error(error)
        if text is None:
            raise
        _end(text)
    _leave_processes()


def _message_of(error: BaseException) -> str:
    """The error's message; of one that came from a loader's worker without the traceback that torch puts before it."""
    text = str(error)
    if not re.match(r"Caught \w+ in DataLoader worker process", text):
        return text
    return re.split(r"^\w+(?:\.\w+)*: ", text, flags=re.MULTILINE)[-1].strip()


def _end(message: str) -> None:
    """Exit code 2 and one line; or the traceback of the error that is being handled."""
    if os.environ.get("CLIPPLUS_TRACEBACK"):
        raise
    sys.stderr.write(f"error: {message}\n(CLIPPLUS_TRACEBACK=1 shows where it came from)\n")
    sys.exit(2)


def _leave_processes() -> None:
    # Gloo's threads, left to the interpreter's exit, abort a process that has done its work now and then.
    if dist.is_initialized():
        dist.destroy_process_group()


def resume_from(config: Config, checkpoint: str) -> None:
    """Make a training go on from a checkpoint, on all ranks the same.

    Args:
        config: of the training; `resume` and `load_from` are set.
        checkpoint: a file; a folder, for the newest whole checkpoint in it; or 'auto' for that of the work directory (a
            fresh start if there is none).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or all checkpoints of the work directory are.
    """
    found: list[str | None] = [None, None]
    _start_all_processes(config)
    if get_rank() == 0:
        try:
            found[0] = _find_checkpoint(Path(config.work_dir), checkpoint)
        except (FileNotFoundError, ValueError) as error:
            found[1] = str(error)
    broadcast_object_list(found)
    if found[1] is not None:
        raise ValueError(f"--resume: {found[1]}")
    # mmengine's own search, which `resume` without `load_from` stands for, takes damaged files.
    config.resume, config.load_from = found[0] is not None, found[0]


def _find_checkpoint(work_dir: Path, checkpoint: str) -> str | None:
    path = work_dir if checkpoint == "auto" else Path(checkpoint).expanduser()
    if checkpoint != "auto" and not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(f"checkpoint {path} does not exist")
        return str(require_whole(path))
    newest = latest_checkpoint(path)
    if newest is not None:
        return str(newest)
    damaged = numbered_checkpoints(path)
    if damaged:
        raise ValueError(
            f"none of the {len(damaged)} checkpoints in {path} can be read ({damaged[-1].name}, ...): remove them "
            "to start anew"
        )
    if checkpoint != "auto":
        raise FileNotFoundError(f"folder {path} holds no epoch_N.pth or iter_N.pth")
    return None


def _start_all_processes(config: Config) -> None:
    """What the Runner would do later, with the same settings: ranks must agree before it is built."""
    if config.get("launcher", "none") == "none" or dist.is_initialized():
        return
    environment = config.get("env_cfg") or {}
    set_multi_processing(**environment.get("mp_cfg", {}), distributed=True)
    init_dist(config.launcher, **environment.get("dist_cfg", {}))


def build_runner(config: Config) -> Runner:
    """The Runner that a config names; mmengine's own unless it states `runner_type`."""
    remember_layouts()
    return Runner.from_cfg(config) if "runner_type" not in config else RUNNERS.build(config)


def append_hook(config: Config, hook: dict) -> None:
    """Add a hook to the config's own `custom_hooks`."""
    config.custom_hooks = [*config.get("custom_hooks", []), ConfigDict(hook)]


def log_to_tensorboard(config: Config) -> None:
    """Add mmengine's TensorBoard backend where TensorBoard is installed and the config has a visualizer without it."""
    backends = (config.get("visualizer") or {}).get("vis_backends")
    if backends is None or find_spec("tensorboard") is None:
        return
    if all(backend.type != "TensorboardVisBackend" for backend in backends):
        config.visualizer.vis_backends = [*backends, ConfigDict(type="TensorboardVisBackend")]


def start_processes(launcher: Launcher) -> None:
    """Initialise gloo on machines without GPU, where mmengine would ask for a CUDA device.

    With GPUs mmengine's Runner does it (NCCL).

    Raises:
        ValueError: mpi without mpi4py, or a launcher whose environment is missing.
    """
    if launcher == "none" or torch.cuda.is_available() or dist.is_initialized():
        return
    if launcher == "slurm":
        _take_slurm_environment()
    elif launcher == "mpi":
        _take_mpi_environment()
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start with tools/dist_*.sh or tools/slurm_*.sh"
        )
    dist.init_process_group("gloo")


def _take_slurm_environment() -> None:
    """Slurm's variables under torch's names."""
    if "SLURM_PROCID" not in os.environ:
        raise ValueError("--launcher slurm outside of a Slurm step: start with tools/slurm_train.sh (srun)")
    os.environ["RANK"] = os.environ["SLURM_PROCID"]
    os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    os.environ["LOCAL_RANK"] = os.environ["SLURM_LOCALID"]
    if "MASTER_ADDR" not in os.environ:
        hosts = subprocess.run(
            ["scontrol", "show", "hostname", os.environ["SLURM_NODELIST"]], capture_output=True, text=True, check=True
        )
        os.environ["MASTER_ADDR"] = hosts.stdout.split()[0]
    os.environ.setdefault("MASTER_PORT", "29500")


def _take_mpi_environment() -> None:
    """MPI's ranks under torch's names; the first rank's host coordinates."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ValueError(
            "--launcher mpi needs mpi4py (pip install mpi4py); torchrun (pytorch) needs nothing"
        ) from error
    world = MPI.COMM_WORLD
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(world.Get_rank()), str(world.Get_size())
    os.environ.setdefault("MASTER_ADDR", world.bcast(MPI.Get_processor_name(), root=0))
    os.environ.setdefault("MASTER_PORT", "29500")
