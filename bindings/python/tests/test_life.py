"""Streams and frames through restarts, changes of size, and the end."""

import hashlib
import os
import signal
import subprocess

import numpy as np
import pytest
from conftest import DEADLINE_S, until

import vas_frames


def hashes(clip):
    """MD5 of each picture of a clip as NV12, by the ffmpeg program."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", str(clip), "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "nv12", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if not line.startswith("#")]


def frames(stream, count):
    """So many frames with the hash of each, or None of those that were overwritten before they were copied."""
    found = []
    for frame in stream:
        try:
            found.append((frame, hashlib.md5(frame.copy()).hexdigest()))
        except vas_frames.Overwritten:
            continue
        if len(found) == count:
            return found
    raise AssertionError("the stream ended")


def assert_played(found, pictures):
    """The pictures are those of the clip, in its order, by the numbers of their frames."""
    (first, begin), ids = found[0], [frame.id for frame, _ in found]
    assert ids == sorted(set(ids)) and len({frame.generation for frame, _ in found}) == 1
    places = [place for place, picture in enumerate(pictures) if picture == begin]
    assert any(
        all(pictures[(place + frame.id - first.id) % len(pictures)] == md5 for frame, md5 in found) for place in places
    ), f"{len(places)} places of {len(pictures)} were tried"


def test_a_loop_goes_on_through_a_restart_of_the_server_with_the_pictures_that_ffmpeg_decodes(live, clip):
    pictures = hashes(clip("yard.mp4"))
    with vas_frames.open("front", base=live.base, mode="next", timeout=DEADLINE_S) as stream:
        before = frames(stream, 20)
        assert_played(before, pictures)
        kept = before[-1][0]
        luma, shape = kept.luma, kept.luma.shape
        # One is stopped and one is killed: neither ends the loop.
        for by in (signal.SIGTERM, signal.SIGKILL):
            live.server.stop(by)
            live.server = live.serve(clip("yard.mp4"), repeat=True)
            generation = before[-1][0].generation
            # The last ones of the server before may still come.
            frame = next(frame for frame in stream if frame.generation != generation)
            after = frames(stream, 20)
            assert_played(after, pictures)
            assert after[0][0].generation == frame.generation > generation
            assert after[0][0].id > before[-1][0].id
            before = after
        # What was held of the first server's memory is there, reads as nothing, and says so.
        assert not kept.intact and kept.id < before[0][0].id
        assert luma.shape == shape and not luma.any()
        with pytest.raises(vas_frames.Overwritten):
            kept.copy()


def test_a_loop_goes_on_through_a_change_of_size_with_the_pictures_that_ffmpeg_decodes(scene, clip):
    small, wide = clip("h264.h264"), clip("bikes.h264")
    camera, url = scene.camera(small, wide)
    scene.serve(url)
    with vas_frames.open("front", base=scene.base, mode="next", timeout=DEADLINE_S) as stream:
        before = frames(stream, 20)
        assert before[0][0].luma.shape == (480, 640)
        assert_played(before, hashes(small))
        kept = before[-1][0].luma
        camera.say("clip 1")
        next(frame for frame in stream if frame.height != 480)
        after = frames(stream, 20)
        assert after[0][0].luma.shape == (272, 640)
        assert_played(after, hashes(wide))
        assert kept.shape == (480, 640)
        kept.sum()


def test_what_is_held_when_a_stream_is_closed_stays_readable(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        luma = frame.luma
    assert stream.closed
    luma.sum()
    live.server.stop()
    until("the server's end is seen", lambda: not frame.intact)
    luma.sum()
    assert frame.width == luma.shape[1]


def mapped_and_open():
    with open("/proc/self/maps") as maps:
        mapped = sum("/vas-e2e-" in line for line in maps)
    return mapped, len(os.listdir("/proc/self/fd"))


def test_a_thousand_opens_leave_no_mapping_and_no_descriptor_behind(live):
    vas_frames.open("front", base=live.base).next(timeout=DEADLINE_S)
    # With a reader that stays, the camera's pictures do.
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as staying:
        next(staying)
        before = mapped_and_open()
        for number in range(1000):
            stream = vas_frames.open("front", base=live.base)
            stream.read()
            assert mapped_and_open()[0] == 2 * before[0], "it is open"
            if number % 2:
                stream.close()
            del stream
        assert mapped_and_open() == before


def test_frames_and_arrays_that_were_let_go_leave_nothing_behind(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        planes = [plane for frame in (next(stream), next(stream)) for plane in (frame.luma, frame.chroma)]
    assert mapped_and_open()[0] > 0, "held by the arrays alone"
    assert isinstance(np.concatenate([plane.ravel() for plane in planes]), np.ndarray)
    planes.clear()
    assert mapped_and_open()[0] == 0
