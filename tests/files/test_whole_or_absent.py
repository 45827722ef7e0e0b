"""Files are there whole or not at all, also on a full disk and in folders that refuse."""

import errno
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from epicycle.files import atomic, mrc
from epicycle.files.atomic import NoRoom, NotWritable, sweep, write_bytes


def test_bytes_replace_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_full_disk_leaves_the_old_file_and_no_half_one(tmp_path):
    path = tmp_path / "image.mrc"
    mrc.write_mrc(path, np.zeros((20, 20), np.float32), 2.0)
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(NoRoom, match=r"No room left.*image\.mrc"):
            mrc.write_mrc(path, np.ones((400, 400), np.float32), 2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.mrc"]


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_no_space_at_any_call_is_said(tmp_path, monkeypatch, call):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(atomic.Path, "open", full)
    with pytest.raises(NoRoom):
        write_bytes(tmp_path / "a", b"x")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_not_there_or_no_folder(tmp_path):
    with pytest.raises(NotWritable, match="does not exist"):
        write_bytes(tmp_path / "none" / "a", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotWritable, match="cannot be written"):
        write_bytes(tmp_path / "file" / "a", b"x")


def test_error_of_the_filler_is_passed_on_and_leaves_nothing(tmp_path):
    def half(file):
        file.write(b"half")
        raise KeyError("no more")

    with pytest.raises(KeyError):
        atomic.write_with(tmp_path / "a", half)
    assert list(tmp_path.iterdir()) == []


def test_killed_in_the_middle_only_a_leftover_remains_and_is_swept(tmp_path):
    code = (
        "import os, sys, signal\n"
        "from epicycle.files.atomic import write_with\n"
        "def half(file):\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_with(__import__('pathlib').Path(sys.argv[1]), half)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "frame.mrc")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "frame.mrc").exists()
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
