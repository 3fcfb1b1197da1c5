"""Waiting, and every way in which it ends."""

import datetime
import gc
import logging
import math
import os
import pathlib
import signal
import sys
import threading
import time
import weakref

import pytest
from conftest import DEADLINE_S, until

import vas_frames


def never(scene):
    """A stream of a camera that never comes."""
    return vas_frames.open("nobody", base=scene.base)


def in_a_thread(work):
    """Runs it in a thread; gives a function that waits for what it gave or raised."""
    results = []

    def run():
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), "it still waits"
        return results[0]

    return result


@pytest.mark.parametrize("wait", ["next(stream)", "stream.next(timeout=3600)", "stream.read(3600)", "next(stream.events())"])
def test_ctrl_c_ends_a_wait(scene, wait):
    script = f"""
import sys, vas_frames
stream = vas_frames.open("nobody", base={str(scene.base)!r}, on_status=lambda status: print(status, flush=True))
try:
    while True:
        {wait}
        if not {wait!r}.endswith("events())"):
            sys.exit("it did not wait")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    process = scene.run([sys.executable, "-c", script])
    process.line_with("waiting")
    asked = time.monotonic()
    process.child.send_signal(signal.SIGINT)
    process.line_with("interrupted")
    print(f"interrupted after {(time.monotonic() - asked) * 1000:.0f} ms")
    assert process.child.wait(DEADLINE_S) == 0, process.errors


def test_what_a_signal_handler_raises_ends_a_wait_and_the_stream_goes_on(scene):
    class Enough(Exception):
        pass

    def handler(*_):
        raise Enough

    before = signal.signal(signal.SIGALRM, handler)
    stream = never(scene)
    try:
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(Enough):
                stream.next()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert stream.status == "waiting"


def test_other_threads_run_while_one_waits(scene):
    stream = never(scene)
    counted = [0]
    enough = threading.Event()

    def count():
        # Pure Python, so it needs the interpreter for every step.
        while counted[0] < 200_000:
            counted[0] += 1
        enough.set()
        stream.cancel()

    threading.Thread(target=count, daemon=True).start()
    # Were the interpreter kept, nobody would ever cancel this.
    with pytest.raises(vas_frames.Cancelled):
        stream.next(timeout=DEADLINE_S)
    assert enough.is_set()


def test_a_cancel_from_another_thread_ends_every_kind_of_wait(scene):
    for wait in (lambda s: s.next(timeout=DEADLINE_S), lambda s: s.read(timeout=DEADLINE_S)):
        stream = never(scene)
        result = in_a_thread(lambda: wait(stream))
        until("it waits", lambda: stream.status == "waiting")
        stream.cancel()
        assert isinstance(result(), vas_frames.Cancelled)
        assert "nobody was cancelled" in str(result())
    for wait in (list, lambda s: [e for e in s.events() if not isinstance(e, vas_frames.Status)]):
        stream = never(scene)
        result = in_a_thread(lambda: wait(stream))
        until("it waits", lambda: stream.status == "waiting")
        stream.cancel()
        assert result() == [], "an iterator ends"


def test_a_close_from_another_thread_ends_a_wait_and_a_closed_stream_stays_closed(scene):
    stream = never(scene)
    result = in_a_thread(lambda: stream.next(timeout=DEADLINE_S))
    until("it waits", lambda: stream.status == "waiting")
    assert not stream.closed
    stream.close()
    assert isinstance(result(), vas_frames.Cancelled) and "closed" in str(result())
    stream.close()
    assert stream.closed and list(stream) == []
    with pytest.raises(vas_frames.Cancelled, match="closed"):
        stream.read()
    with never(scene) as stream:
        pass
    assert stream.closed


def test_a_limit_of_infinity_waits_longer_than_the_streams_own(scene):
    stream = vas_frames.open("nobody", base=scene.base, timeout=0.05)
    result = in_a_thread(lambda: stream.next(timeout=math.inf))
    until("it waits", lambda: stream.status == "waiting")
    with pytest.raises(vas_frames.Timeout):
        next(stream)
    stream.cancel()
    assert isinstance(result(), vas_frames.Cancelled)


def test_threads_that_share_a_stream_have_their_turns_and_ctrl_c_reaches_the_first(live):
    stream = vas_frames.open("front", base=live.base, mode="next", timeout=DEADLINE_S)
    taken = [[], [], []]
    enough = threading.Event()

    def take(frames):
        for frame in stream:
            frames.append(frame.id)
            if all(len(of) >= 5 for of in taken):
                enough.set()

    results = [in_a_thread(lambda frames=frames: take(frames)) for frames in taken]
    assert enough.wait(DEADLINE_S), taken
    # While they wait all the time, this thread gets its turns and its signals too.
    previous = signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(InterruptedError("asked")))
    try:
        with pytest.raises(InterruptedError, match="asked"):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            for _ in stream:
                pass
    finally:
        signal.signal(signal.SIGUSR1, previous)
    stream.cancel()
    assert [result() for result in results] == [None] * 3
    seen = sorted(sum(taken, []))
    assert len(set(seen)) == len(seen), "a frame went to two of them"


def test_a_child_made_by_fork_opens_the_camera_anew_and_has_its_held_frames_looked_after(live):
    held = vas_frames.open("front", base=live.base).next(timeout=DEADLINE_S)
    until("its frames are looked after", looks_after_held_frames)
    child = os.fork()
    if child == 0:
        try:
            kept = vas_frames.open("front", base=live.base).next(timeout=DEADLINE_S)
            until("its frames are looked after", looks_after_held_frames)
            os._exit(0 if kept.camera == "front" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert held.camera == "front"


def looks_after_held_frames():
    """Whether this process has the thread that lets go of held frames whose pair is over."""

    def name(thread):
        try:
            return (thread / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return "gone"

    return "vas-frames-held" in map(name, pathlib.Path("/proc/self/task").iterdir())


def test_a_wait_that_is_limited_ends_with_a_timeout_that_says_why(scene):
    stream = vas_frames.open("nobody", base=scene.base, timeout=0.1)
    for wait in (stream.next, lambda: next(stream), lambda: stream.next(timeout=datetime.timedelta(milliseconds=20))):
        with pytest.raises(TimeoutError, match="camera nobody.*not there") as raised:
            wait()
        assert type(raised.value) is vas_frames.Timeout and isinstance(raised.value, vas_frames.Error)
    assert stream.read() is None
    assert stream.read(timeout=0.01) is None


def test_a_camera_that_cannot_be_read_is_an_error_unless_it_is_to_be_waited_for(scene):
    folder = scene.base / "front"
    folder.mkdir(parents=True)
    (folder / "frame.meta").symlink_to("elsewhere")
    stream = vas_frames.open("front", base=scene.base)
    assert stream.read() is None, "a server that is just starting may be seen half way"
    for _ in range(2):
        with pytest.raises(vas_frames.Refused, match="frame.meta: is a symbolic link, not a regular file") as raised:
            stream.next(timeout=DEADLINE_S)
        assert isinstance(raised.value, OSError)
    assert stream.status == "refused"
    # A limit that is over says what was found too.
    with pytest.raises(vas_frames.Refused):
        vas_frames.open("front", base=scene.base).next(timeout=0.05)
    patient = vas_frames.open("front", base=scene.base, raise_on_refused=False)
    with pytest.raises(vas_frames.Timeout, match="symbolic link"):
        patient.next(timeout=2)


def test_a_refused_camera_that_becomes_readable_is_read(scene, clip):
    folder = scene.base / "front"
    folder.mkdir(parents=True)
    (folder / "frame.meta").symlink_to("elsewhere")
    stream = vas_frames.open("front", base=scene.base, raise_on_refused=False)
    assert stream.read() is None and stream.status == "refused"
    (folder / "frame.meta").unlink()
    scene.serve(clip("yard.mp4"), repeat=True)
    assert stream.next(timeout=DEADLINE_S).camera == "front"


def test_files_of_another_user_are_refused_when_the_owner_is_insisted_on(live):
    mine = vas_frames.open("front", base=live.base, owner_uid=os.getuid())
    mine.next(timeout=DEADLINE_S)
    with pytest.raises(vas_frames.Refused, match=f"insists on uid {os.getuid() + 1}"):
        vas_frames.open("front", base=live.base, owner_uid=os.getuid() + 1).next(timeout=DEADLINE_S)


def test_changes_of_state_are_told_by_events_by_a_callback_and_in_the_log(live, caplog):
    caplog.set_level(logging.INFO, logger="vas_frames")
    told = []
    stream = vas_frames.open("front", base=live.base, timeout=DEADLINE_S, on_status=told.append)
    assert stream.status == "opening"
    seen = []
    for event in stream.events():
        if isinstance(event, vas_frames.Frame):
            break
        seen.append(event)
    assert stream.status == "live"
    live.server.stop()
    for event in stream.events():
        if isinstance(event, vas_frames.Status):
            seen.append(event)
            if event.state == "waiting":
                break
    assert [status.state for status in told] == [status.state for status in seen]
    last = seen[-1]
    assert last.camera == "front" and last.why.endswith("not there") and str(last) == f"waiting: {last.why}"
    assert "waiting" in repr(last)
    assert caplog.messages == [f"camera front: {status}" for status in seen]
    assert caplog.records[-1].levelname == "WARNING"


def test_what_a_callback_raises_comes_out_of_the_wait(scene):
    def fall_over(status):
        raise RuntimeError(status.state)

    stream = vas_frames.open("nobody", base=scene.base, on_status=fall_over)
    with pytest.raises(RuntimeError, match="waiting"):
        stream.next()
    assert stream.read() is None, "told once"


def test_a_callback_that_holds_its_stream_does_not_keep_it_for_ever(scene):
    class Owner:
        pass

    owner = Owner()
    owner.told = []
    owner.stream = vas_frames.open("nobody", base=scene.base, on_status=lambda status, owner=owner: owner.told.append(status))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"camera": "../front"}, "camera"),
        ({"camera": "front", "mode": "newest"}, 'mode is "latest" or "next", not "newest"'),
        ({"camera": "front", "policy": "fast"}, 'policy is "low_latency", "balanced" or "economy", not "fast"'),
        ({"camera": "front", "timeout": -1}, "number of seconds or a timedelta, 0 or more"),
        ({"camera": "front", "timeout": float("nan")}, "0 or more"),
        ({"camera": "front", "timeout": datetime.timedelta(seconds=-1)}, "0 or more"),
        ({"camera": "front", "timeout": "5"}, "number of seconds"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_with_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        vas_frames.open(**arguments)


def test_the_base_directory_is_that_of_the_environment_unless_it_is_said(scene, monkeypatch, tmp_path):
    monkeypatch.setenv("VAS_SHM_BASE", str(scene.base))
    assert vas_frames.open("front").base == scene.base
    assert vas_frames.open("front", base=tmp_path).base == tmp_path
    monkeypatch.delenv("VAS_SHM_BASE")
    assert str(vas_frames.open("front").base) == "/dev/shm/vas"


def test_two_threads_share_a_stream_and_each_frame_goes_to_one_of_them(live):
    stream = vas_frames.open("front", base=live.base, mode="next")
    taken = [[], []]

    def take(mine):
        while len(mine) < 15:
            mine.append(stream.next(timeout=DEADLINE_S).id)

    results = [in_a_thread(lambda mine=mine: take(mine)) for mine in taken]
    assert [result() for result in results] == [None, None]
    both = taken[0] + taken[1]
    assert len(both) == len(set(both)) == 30
