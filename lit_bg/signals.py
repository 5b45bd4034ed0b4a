"""Signals end a program within seconds: at once, or between two training steps, and never with exit code 0.

Ctrl-C (SIGINT), SIGTERM, which queues send, and SIGUSR1, which `sbatch --signal=USR1@90` sends, are all obeyed. What a program
does at the moment decides how:

* `exit`: there is nothing to keep or clean (imports, building, compiling); the process leaves at once;
* `raise`: `SignalReceived` is raised where the program stands, so that temporary files go and buffers are written;
* `defer`: the signal is remembered, and who defers asks `caught` at the next moment that leaves a whole state.

Whatever the mode, a thread that the interpreter's own signal handler wakes counts seconds, and after `GRACE` it ends the
process and its children: a library that swallows exceptions, a step of minutes or a peer that no longer answers keep nobody.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Literal, NoReturn

Mode = Literal["exit", "raise", "defer"]
OBEYED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
GRACE: dict[Mode, float] = {"exit": 1.0, "raise": 5.0, "defer": 7.0}  # [s] from a signal to the end, at the latest
LEAVE = 2.0  # [s] in which this process may end by itself after another rank has ended
AGAIN = 0.02  # [s] until a signal is sent again that was lost where nobody hears of exceptions
TURN = 0.5  # [s] between two looks at the other processes


class SignalReceived(BaseException):
    """Says that a signal has asked the program to end.

    No `Exception`, so that nobody handles it by the way, and no `KeyboardInterrupt`, which Lightning answers by itself.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number


def exit_code(number: int) -> int:
    """Return what a shell expects of a program that a signal has ended: 130 after Ctrl-C, 143 after the others.

    >>> exit_code(signal.SIGINT), exit_code(signal.SIGTERM), exit_code(signal.SIGUSR1)
    (130, 143, 143)
    """
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


class _Program:
    """Holds what the handlers know of the program; one per process, as there is one set of handlers."""

    def __init__(self, way_on: str) -> None:
        self.mode: Mode = "exit"
        self.number: int | None = None
        self.way_on = way_on
        self.ranks: list[subprocess.Popen] = []  # that this process has started
        self.parent = os.getppid()
        self.done = threading.Event()


_program: _Program | None = None


def caught() -> int | None:
    """Return the signal that has asked the program to end, None if none has."""
    return None if _program is None else _program.number


def set_way_on(text: str) -> None:
    """Say what a user does to go on, for the sentence at the end."""
    if _program is not None:
        _program.way_on = text


def way_on() -> str:
    """Return what a user does to go on."""
    return "" if _program is None else _program.way_on


def is_listening() -> bool:
    """Return whether a program in this process obeys signals (see `listening`)."""
    return _program is not None


def set_mode(new: Mode) -> Mode:
    """Obey signals in another way from now on, and return the way so far.

    Raises:
        SignalReceived: what was deferred is not deferred any longer.
    """
    if _program is None:
        return "exit"
    before, _program.mode = _program.mode, new
    if _program.number is not None and new == "raise":
        raise SignalReceived(_program.number)
    return before


@contextmanager
def listening(way_on: str) -> Iterator[None]:
    """Obey signals from here on; for the main function of a program.

    Args:
        way_on: what a user does to go on, until `set_way_on` knows better.

    Raises:
        SystemExit: 130 or 143, after one sentence, where `SignalReceived` or a `KeyboardInterrupt` arrives here.
    """
    global _program
    if threading.current_thread() is not threading.main_thread() or _program is not None:
        yield  # handlers belong to the main thread, and to the outermost program
        return
    program = _program = _Program(way_on)
    # What a shell has told us to ignore (as it does in the background) stays ignored.
    wanted = [s for s in OBEYED if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, _obey) for s in wanted}
    inlet, outlet = os.pipe()
    os.set_blocking(outlet, False)
    hook, sys.unraisablehook = sys.unraisablehook, partial(_ask_again, sys.unraisablehook)
    previous = signal.set_wakeup_fd(outlet, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(program, inlet, set(wanted)), daemon=True, name="lit_bg-signals")
    thread.start()
    try:
        yield
    except BaseException as error:
        # What a library makes of an exception in the middle of its work (an ImportError, say) is still the signal's doing.
        if program.number is None and not isinstance(error, SignalReceived | KeyboardInterrupt):
            raise
        number = program.number or (error.number if isinstance(error, SignalReceived) else signal.SIGINT)
        if _speaks():
            text = str(error) if isinstance(error, KeyboardInterrupt) else ""
            print(text or f"Interrupted; {program.way_on}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code(number)) from None
    finally:
        program.done.set()
        signal.set_wakeup_fd(previous)
        os.close(outlet)
        thread.join()
        for s, handler in before.items():
            signal.signal(s, handler)
        sys.unraisablehook = hook
        _program = None


def run(main: Callable[[], None]) -> None:
    """Run the main function of a program, and see to it that nothing hangs after an interrupt, when the interpreter ends."""
    try:
        main()
    except SystemExit as end:
        if end.code in (exit_code(signal.SIGINT), exit_code(signal.SIGTERM)):
            code = end.code

            def leave() -> None:
                _kill_children()
                os._exit(code)

            timer = threading.Timer(GRACE["exit"], leave)
            timer.daemon = True
            timer.start()
        raise


def _obey(number: int, frame: FrameType | None) -> None:
    program = _program
    if program is None:
        return
    if program.number is not None:
        _end(program)  # a second signal does not wait
    program.number = number
    if program.mode == "exit":
        _end(program)
    if program.mode == "raise":
        raise SignalReceived(number)


def _ask_again(hook: Callable[[sys.UnraisableHookArgs], Any], lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception was raised where Python has nobody to give it to, in `__del__` say."""
    if _program is None or not isinstance(lost.exc_value, SignalReceived):
        hook(lost)
        return
    number, _program.number = lost.exc_value.number, None
    timer = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _watch(program: _Program, inlet: int, wanted: set[int]) -> None:
    """Wait for signals, and for the end of other processes; runs in a thread of its own."""
    deadline, first = None, 0
    while not program.done.is_set():
        ready, _, _ = select.select([inlet], [], [], TURN)
        received = os.read(inlet, 64) if ready else b""
        if deadline is None and (first := next((number for number in received if number in wanted), 0)):
            deadline = time.monotonic() + GRACE[program.mode]
        if deadline is not None and time.monotonic() > deadline:
            program.number = program.number or first
            _end(program)
        if os.getppid() != program.parent and not _speaks():
            os._exit(1)  # the process that started this rank is gone, and nobody would ever answer it
        dead = _dead(program)
        if dead is not None and deadline is None and not program.done.wait(LEAVE):  # it may be about to end by itself
            _follow(program, dead)
        if ready and not received:
            break  # the other end is closed
    os.close(inlet)


def end_ranks() -> None:
    """End the other processes of a run that is ended, before they complain that this one does not answer."""
    for rank in _program.ranks if _program is not None else ():
        rank.kill()


def follow_ranks() -> None:
    """End this process if another one of the run has ended, which is why it cannot go on; to be called after an error.

    The error is that of a library whose peer does not answer, and says nothing of what happened.
    """
    program = _program
    if program is None or program.number is not None:
        return
    until = time.monotonic() + LEAVE
    while time.monotonic() < until and (program.ranks or not _speaks()):
        if not _speaks() and os.getppid() != program.parent:
            os._exit(1)
        dead = _dead(program)
        if dead is not None:
            _follow(program, dead)
        time.sleep(0.05)


def _dead(program: _Program) -> int | None:
    """Return which of the other processes has ended with an error."""
    return next((i for i, rank in enumerate(program.ranks, 1) if rank.poll()), None)


def _follow(program: _Program, dead: int) -> None:
    """End this process because one that it has started has ended."""
    if program.number is not None:
        return
    code = program.ranks[dead - 1].returncode
    told = {s: exit_code(s) for s in OBEYED}
    number = next((s for s, its in told.items() if code in (-s, its)), None)
    if number is not None:
        program.number = number
        _end(program)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    _say(f"lit_bg: process {dead} of this run has ended by {how}, and the others cannot go on without it; {program.way_on}")
    _kill_children()
    os._exit(1)


def _end(program: _Program) -> NoReturn:
    """End the process and its children now."""
    assert program.number is not None
    if _speaks():
        _say(f"Interrupted; {program.way_on}")
    _kill_children()
    os._exit(exit_code(program.number))


def _speaks() -> bool:
    """Say whether this is the process whose words a user reads: the first of its machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _say(text: str) -> None:
    # Past Python's buffers, which whoever was interrupted may hold; after the line of a progress bar, which hides the cursor.
    os.write(2, f"{chr(27) + '[?25h' + chr(10) if os.isatty(2) else ''}{text}\n".encode())


def _kill_children() -> None:
    """Kill every process that this one has started, and theirs (where /proc says who they are)."""
    parents = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    family = {os.getpid()}
    while grown := {p for p, parent in parents.items() if parent in family} - family:
        family |= grown
    for p in family - {os.getpid()}:
        try:
            os.kill(p, signal.SIGKILL)
        except OSError:
            continue


def take_over(trainer: Any) -> None:
    """Take signals and the watch over other ranks from Lightning's trainer.

    Its own handler of SIGTERM talks to the other ranks from within the handler, where they may not listen, and ends a
    validation or a test with exit code 0; its watch over the processes it has started kills this one without a word.
    """
    from lightning.pytorch.strategies.launchers import subprocess_script

    def watch(child_processes: list[subprocess.Popen]) -> None:
        if _program is not None:
            _program.ranks = child_processes

    nothing: Callable[[], None] = lambda: None  # noqa: E731
    trainer._signal_connector.register_signal_handlers = nothing
    subprocess_script._launch_process_observer = watch
