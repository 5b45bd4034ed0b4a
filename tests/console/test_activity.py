"""What takes long is named, and nothing else."""

import sys
import time

import pytest

from lit_bg import activity
from lit_bg.activity import Activity, announce, doing


def wait_for(said, capsys):
    until = time.monotonic() + 20
    text = ""
    while said not in text and time.monotonic() < until:
        time.sleep(0.01)
        text += capsys.readouterr().err
    return text


def test_what_lasts_is_named_and_named_again(capsys, monkeypatch):
    monkeypatch.setattr(activity, "FIRST", 0.01)
    monkeypatch.setattr(activity, "EVERY", 0.01)
    with doing("minimising"):
        text = wait_for("still minimising, 0 s so far ...", capsys)
    assert text.startswith("lit_bg: minimising ...\nlit_bg: still minimising")


def test_what_is_quick_is_not(capsys, monkeypatch):
    monkeypatch.setattr(activity, "FIRST", 30.0)
    with pytest.raises(ValueError), doing("minimising"):
        raise ValueError
    assert capsys.readouterr().err == ""


def test_an_activity_ends_even_where_it_never_began():
    working = Activity("x")
    working.stop()
    working.start()
    working.start()
    working.stop()


def test_other_processes_of_a_run_are_silent(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    announce("PyTorch")
    monkeypatch.setenv("LOCAL_RANK", "1")
    announce("PyTorch")
    assert capsys.readouterr().err == "lit_bg: loading PyTorch ...\n"


def test_nothing_is_announced_that_is_there(capsys):
    import torch  # noqa: F401

    announce("PyTorch")
    assert capsys.readouterr().err == ""


def test_torch_tells_when_it_compiles(monkeypatch):
    from torch._dynamo import callback

    from lit_bg import compiling

    told = []
    monkeypatch.setattr(compiling.Activity, "start", lambda self: told.append(self.what))
    monkeypatch.setattr(compiling.Activity, "stop", lambda self: told.append("done"))
    monkeypatch.setattr(callback, "callback_handler", callback.CompilationCallbackHandler())
    compiling._tell_of_compilations.__wrapped__()
    with callback.callback_handler.install_callbacks(callback.CallbackTrigger.DYNAMO, "0"):
        assert told == ["compiling with torch.compile, once for every shape"]
    assert told[1:] == ["done"]
