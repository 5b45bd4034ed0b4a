"""Files are whole or absent, and a folder belongs to one process."""

import os
import subprocess
import sys

import pytest

from lit_bg import files


def dead_process():
    """Identifier of a process that has ended."""
    program = subprocess.Popen([sys.executable, "-c", ""])
    program.wait()
    return program.pid


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with files.atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_what_a_killed_process_has_left_goes_with_the_next_attempt(tmp_path):
    (tmp_path / f".a.{dead_process()}.txt").write_text("half")
    (tmp_path / f".a.{os.getppid()}.txt").write_text("being written")
    (tmp_path / ".a.b.txt").write_text("a file of the user")
    with files.atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", f".a.{os.getppid()}.txt", ".a.b.txt"}


def test_temporaries_of_a_folder_are_told_from_files_of_the_user(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".last.123.ckpt").write_text("half")
    (tmp_path / ".gitignore").write_text("*")
    (tmp_path / "a.123.txt").write_text("a file of the user")
    files.remove_temporaries(tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {"deep", ".gitignore", "a.123.txt"}


def test_a_folder_is_claimed_once_and_given_back(tmp_path):
    code = "import sys; from lit_bg.files import lock; lock(sys.argv[1])"
    files.lock(tmp_path)
    files.lock(tmp_path)  # again, harmlessly
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert "another process is writing to" in other.stderr
    files.release(tmp_path)
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True).returncode == 0
