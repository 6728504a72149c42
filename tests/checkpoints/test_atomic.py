"""Result files appear completely or not at all."""

import pytest

from clipplus.checkpoints.atomic import written_aside


def test_a_finished_block_replaces_the_file(tmp_path):
    target = tmp_path / "new" / "table.md"
    for text in ("first", "second"):
        with written_aside(target) as partial:
            partial.write_text(text)
    assert target.read_text() == "second"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_block_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "table.md"
    target.write_text("old")

    def fail_halfway():
        with written_aside(target) as partial:
            partial.write_text("half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        fail_halfway()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_name_aside_keeps_the_suffix_for_pillow(tmp_path):
    with written_aside(tmp_path / "sheet.png") as partial:
        assert partial.suffix == ".png"
        assert partial.parent == tmp_path
        partial.touch()
