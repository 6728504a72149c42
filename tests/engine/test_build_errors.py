"""A misspelt or missing option of a part is told in the config's words; other mistakes are not blamed on the config."""

import pytest
from mmengine.registry import Registry

from clipplus.engine.build_errors import option_error
from clipplus.engine.launch import run_tool

PARTS = Registry("part")


class Base:
    def __init__(self, width: int = 1) -> None:
        self.width = width


@PARTS.register_module()
class Part(Base):
    def __init__(self, depth: int, **options: int) -> None:
        super().__init__(**options)
        if depth < 0:
            Base(nothing=depth)  # type: ignore[call-arg]


@PARTS.register_module()
class Outer:
    def __init__(self, part: dict) -> None:
        self.part = PARTS.build(part)


def error_of(config: dict) -> TypeError:
    with pytest.raises(TypeError) as caught:
        PARTS.build(config)
    return caught.value


@pytest.mark.parametrize("outer", [False, True])
def test_a_misspelt_option_is_named_with_the_nearest_of_all_constructors(outer: bool) -> None:
    config = dict(type="Part", depth=1, widht=2)
    error = error_of(dict(type="Outer", part=config) if outer else config)
    assert option_error(error) == "Part has no option 'widht' (did you mean 'width'?)"


def test_a_missing_option_is_named() -> None:
    error = error_of(dict(type="Part", width=2))
    assert option_error(error) == "Part needs 'depth': the config's dict(type='Part', ...) does not say it"


def test_mistakes_inside_of_a_part_are_not_blamed_on_its_options(capsys: pytest.CaptureFixture) -> None:
    assert option_error(error_of(dict(type="Part", depth=-1))) is None
    with pytest.raises(TypeError):
        run_tool(lambda: Base(nothing=1))  # type: ignore[call-arg]
    assert capsys.readouterr().err == ""


def test_tools_end_in_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_tool(lambda: PARTS.build(dict(type="Part", depth=1, widht=2)))
    assert capsys.readouterr().err.startswith("error: Part has no option 'widht' (did you mean 'width'?)\n")
    monkeypatch.setenv("CLIPPLUS_TRACEBACK", "1")
    with pytest.raises(TypeError, match="widht"):
        run_tool(lambda: PARTS.build(dict(type="Part", depth=1, widht=2)))
