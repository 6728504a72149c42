"""How a training ended, for scripts that start it again: exit codes get lost in launchers."""

import json
import os
from pathlib import Path
from typing import Literal
from uuid import uuid4

from mmengine.dist import is_main_process

from clipplus.checkpoints.atomic import written_aside

#: What a training that was asked to stop, and has saved its position, returns.
PREEMPTED = 85

#: In the work directory: `{"state": ..., "iteration": updates done}`.
RUN_STATE = "run_state.json"

# tools/dist_train.sh names a file of its own here: it knows neither the work directory nor how old a file in it is.
_COPY = "CLIPPLUS_RUN_STATE"


State = Literal["preempted", "finished", "failed"]


def write_run_state(work_dir: str | Path, state: State, iteration: int, any_rank: bool = False) -> State:
    """Rank 0 writes `run_state.json`, whole or not at all, unless another rank was first: what came first is the cause.

    A rank that fails makes the launcher ask the others to stop; they were not preempted.

    Args:
        work_dir: of the run.
        state: how it ended.
        iteration: updates done.
        any_rank: write on whichever rank this is: the first one may be unable to.

    Returns:
        How the run ended, by what is written now.
    """
    if is_main_process() or any_rank:
        _write_first(Path(work_dir) / RUN_STATE, _text(state, iteration))
    state = read_run_state(work_dir) or state
    if os.environ.get(_COPY) and (int(os.environ.get("LOCAL_RANK", "0")) == 0 or any_rank):
        with written_aside(Path(os.environ[_COPY])) as partial:
            partial.write_text(_text(state, iteration), encoding="utf-8")
    return state


def read_run_state(work_dir: str | Path) -> State | None:
    """How the run in a work directory ended; None while it goes on."""
    try:
        return json.loads((Path(work_dir) / RUN_STATE).read_text(encoding="utf-8"))["state"]
    except FileNotFoundError:
        return None


def forget_run_state(work_dir: str | Path) -> None:
    """A training that begins has not ended yet, whatever an earlier part of it wrote."""
    if is_main_process():
        (Path(work_dir) / RUN_STATE).unlink(missing_ok=True)


def _text(state: State, iteration: int) -> str:
    return json.dumps({"state": state, "iteration": iteration}) + "\n"


def _write_first(path: Path, text: str) -> None:
    """Write `path` whole unless it is there: of ranks that do so at once one is first, which a rename cannot tell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process numbers are the same on two machines now and then.
    partial = path.with_name(f"{path.stem}.{uuid4().hex}.partial{path.suffix}")
    partial.write_text(text, encoding="utf-8")
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)
