"""What a frame is, and what becomes of it."""

import copy
import datetime
import hashlib
import json
import pickle
import time
import warnings

import numpy as np
import pytest
from conftest import DEADLINE_S, program, until

import vas_frames


def whole(stream, work):
    """Works on frames until one was whole to the end; gives it and what came of the work."""
    for frame in stream:
        done = work(frame)
        if frame.intact:
            return frame, done
    raise AssertionError("the stream ended")


def mappings(of):
    """Address, end and permissions of each mapping of a file whose path ends so."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.rstrip("\n").endswith(of):
                addresses, permissions = line.split()[:2]
                first, end = (int(number, 16) for number in addresses.split("-"))
                found.append((first, end, permissions))
    return found


def test_planes_are_read_only_views_of_the_shared_memory_itself(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        [(first, end, permissions)] = mappings(f"{live.base}/front/frame.data")
        assert permissions.startswith("r--")
        for plane in (frame.luma, frame.chroma):
            address = plane.__array_interface__["data"][0]
            assert first <= address < address + plane.strides[0] * plane.shape[0] <= end
            assert not plane.flags.writeable and not plane.flags.owndata
            with pytest.raises(ValueError, match="read-only"):
                plane[0, 0] = 0
            with pytest.raises(ValueError):
                plane.flags.writeable = True
        # The same memory each time, not one more copy.
        assert frame.luma.__array_interface__["data"] == frame.luma.__array_interface__["data"]


def test_planes_have_the_pictures_shape_and_the_headers_stride(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        rows, columns = frame.height, frame.width
        assert frame.luma.shape == (rows, columns)
        assert frame.chroma.shape == ((rows + 1) // 2, (columns + 1) // 2, 2)
        assert frame.luma.strides == (frame.stride_bytes, 1)
        assert frame.chroma.strides == (frame.stride_bytes, 2, 1)
        assert frame.luma.dtype == frame.chroma.dtype == np.uint8


def test_a_copy_holds_what_the_planes_show_and_belongs_to_the_caller(live):
    def work(frame):
        try:
            return np.array(frame.luma), np.array(frame.chroma), frame.copy()
        except vas_frames.Overwritten:
            return None

    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame, (luma, chroma, packed) = whole(stream, work)
    assert packed.shape == (frame.height * 3 // 2, frame.width)
    assert packed.flags.writeable and packed.flags.c_contiguous
    assert np.array_equal(packed[: frame.height], luma)
    assert np.array_equal(packed[frame.height :].reshape(chroma.shape), chroma)
    packed[:] = 0  # nobody else's
    assert luma.any()


def test_copies_have_the_hashes_that_the_command_line_prints(live):
    watch = live.run([program("vas-frames"), "watch", "front", "--json", "--hash", "md5"])
    ours = {}
    with vas_frames.open("front", base=live.base, mode="next", timeout=DEADLINE_S) as stream:
        watch.line_with("frame_id")
        for frame in stream:
            try:
                ours[frame.id] = hashlib.md5(frame.copy()).hexdigest()
            except vas_frames.Overwritten:
                continue
            if len(ours) == 40:
                break

    def look():
        lines = [json.loads(line) for line in list(watch.lines)]
        theirs = {line["frame_id"]: line["md5"] for line in lines if "frame_id" in line}
        return theirs if theirs and max(theirs) >= max(ours) else None

    theirs = until("the command line is as far", look)
    both = ours.keys() & theirs.keys()
    assert len(both) >= 20
    assert {number: ours[number] for number in both} == {number: theirs[number] for number in both}
    assert len(set(ours.values())) > 20, "a film, not one picture"


def test_what_is_held_of_a_frame_that_was_overwritten_stays_readable_and_says_so(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        luma, chroma = frame.luma, frame.chroma
        assert luma.base is not None
        until("the slot is overwritten", lambda: not frame.intact)
        assert not frame.intact
        assert "overwritten" in repr(frame)
        int(luma.sum()) + int(chroma.sum())
        with pytest.raises(vas_frames.Overwritten):
            frame.copy()
        assert issubclass(vas_frames.Overwritten, vas_frames.Error)
        # A view outlives the frame that it is of.
        del frame
        luma.sum()


def test_times_are_those_of_this_machines_clocks(live):
    with vas_frames.open("front", base=live.base, mode="next", timeout=DEADLINE_S) as stream:
        before_ns = time.monotonic_ns()
        frame, later = next(stream), next(stream)
        now_ns = time.monotonic_ns()
        assert isinstance(frame.timestamp_ns, int)
        assert before_ns - 10_000_000_000 < frame.timestamp_ns < later.timestamp_ns <= now_ns
        assert frame.captured_at.tzinfo is not None
        assert frame.captured_at.utcoffset() == datetime.timedelta(0)
        ago = datetime.datetime.now(datetime.timezone.utc) - frame.captured_at
        assert datetime.timedelta(0) <= frame.age
        # Whoever sets the clock in these milliseconds has bad luck.
        assert abs(ago - frame.age) < datetime.timedelta(seconds=5)
        assert frame.captured_at < later.captured_at
        assert frame.captured_at == frame.captured_at


def test_a_frame_says_where_it_is_from(live):
    with vas_frames.open("front", base=live.base, mode="next", timeout=DEADLINE_S) as stream:
        frames = [next(stream) for _ in range(5)]
        first = frames[0]
        assert first.camera == stream.camera == "front"
        assert all(frame.generation == first.generation for frame in frames)
        for before, frame in zip(frames, frames[1:]):
            assert frame.id == before.id + 1 + frame.skipped
        assert stream.skipped_total == sum(frame.skipped for frame in frames)
        assert not any(frame.damaged for frame in frames)
        assert first.color.range in ("limited", "unknown", "full")
        assert first.color == frames[1].color
        assert all(isinstance(part, int) for part in (first.color.primaries, first.color.transfer, first.color.matrix))
        assert repr(first).startswith(f"<vas_frames.Frame {first.id} of front: {first.width}x{first.height}")


def test_frames_that_were_missed_are_counted(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frames = [next(stream)]
        assert frames[0].skipped == 0, "the first one of a generation skips none"
        for _ in range(3):
            # As many as there are slots came meanwhile.
            until("the slot is overwritten", lambda: not frames[-1].intact)
            frames.append(next(stream))
            assert frames[-1].skipped == frames[-1].id - frames[-2].id - 1 > 0
        assert stream.skipped_total == sum(frame.skipped for frame in frames)


@pytest.mark.parametrize("refused", [pickle.dumps, copy.copy, copy.deepcopy])
def test_frames_and_streams_refuse_to_be_pickled_with_a_sentence(live, refused):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        with pytest.raises(TypeError, match=r"view of shared memory.*frame\.copy\(\)"):
            refused(frame)
        with pytest.raises(TypeError, match="open the camera in the process that reads it"):
            refused(stream)
        for frame in stream:
            try:
                packed = frame.copy()
                break
            except vas_frames.Overwritten:
                continue
        assert np.array_equal(pickle.loads(pickle.dumps(packed)), packed)


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def test_pictures_in_colour_are_the_same_in_every_order_and_belong_to_the_caller(live):
    def work(frame):
        try:
            return frame.to_rgb(), frame.to_bgr(), frame.to_rgba(), frame.to_gray(), np.array(frame.luma)
        except vas_frames.Overwritten:
            return None

    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame, (rgb, bgr, rgba, gray, luma) = whole(stream, work)
    size = (frame.height, frame.width)
    assert (rgb.shape, bgr.shape, rgba.shape, gray.shape) == (size + (3,), size + (3,), size + (4,), size)
    for picture in (rgb, bgr, rgba, gray):
        assert picture.dtype == np.uint8 and picture.flags.writeable and picture.flags.c_contiguous
    assert np.array_equal(rgb, bgr[:, :, ::-1])
    assert np.array_equal(rgb, rgba[:, :, :3]) and (rgba[:, :, 3] == 255).all()
    assert frame.color.range != "full", "else grey is luma"
    stretched = np.clip((luma.astype(float) - 16) * 255 / 219, 0, 255)
    assert difference(gray, stretched).max() <= 1


def test_a_picture_has_the_colours_that_opencv_finds(live):
    cv2 = pytest.importorskip("cv2")

    def work(frame):
        try:
            return frame.to_bgr(), frame.copy()
        except vas_frames.Overwritten:
            return None

    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame, (ours, packed) = whole(stream, work)
    theirs = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_NV12)
    # Up to 576 rows a camera that does not say is BT.601, which is all that OpenCV knows.
    assert frame.color.matrix in (2, 5, 6) and frame.height <= 576, frame.color
    # Blacker than black: OpenCV takes luma below 16 for 16, we for what it is.
    shown = packed[: frame.height] >= 16
    off, swapped = difference(ours, theirs)[shown], difference(ours, theirs[:, :, ::-1])[shown]
    assert off.mean() < 0.5 and off.max() <= 2, (off.mean(), off.max())
    assert swapped.mean() > 2, f"the test is blind: with red and blue exchanged it is {swapped.mean()}"


def test_a_picture_is_stretched_or_letterboxed_to_a_models_input_and_boxes_find_their_way_back(live):
    cv2 = pytest.importorskip("cv2")

    def work(frame):
        try:
            return (
                frame.to_rgb(),
                frame.resize(160, 100, filter="linear"),
                frame.letterbox(200, 200, layout="bgr", pad=(1, 2, 3)),
                frame.letterbox(frame.width, 2 * frame.height, layout="gray"),
                frame.to_gray(),
            )
        except vas_frames.Overwritten:
            return None

    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame, (rgb, stretched, (boxed, placement), (gray_boxed, above), gray) = whole(stream, work)
        for arguments, sentence in [
            ({"width": 0, "height": 5}, "0x5: a side is 1 to 16384 pixels long"),
            ({"width": 5, "height": 16385}, "a side is"),
            ({"width": 5, "height": 5, "layout": "yuv"}, 'layout is "rgb", "bgr"'),
            ({"width": 5, "height": 5, "filter": "best"}, 'filter is "nearest"'),
        ]:
            with pytest.raises(ValueError, match=sentence):
                frame.resize(**arguments)
    assert (frame.width, frame.height) == (320, 240)
    assert stretched.shape == (100, 160, 3) and stretched.flags.writeable
    assert difference(stretched, cv2.resize(rgb, (160, 100), interpolation=cv2.INTER_LINEAR)).mean() < 3

    assert boxed.shape == (200, 200, 3)
    assert (placement.x, placement.y, placement.width, placement.height) == (0, 25, 200, 150)
    assert (boxed[:25] == (3, 2, 1)).all() and (boxed[175:] == (3, 2, 1)).all() and boxed[25:175].std() > 5
    assert placement.to_frame(100, 100) == (160, 120)
    assert placement.box_to_frame((0, 0, 100, 100)) == (0, 0, 160, 120)
    assert repr(placement) == "Placement(x=0, y=25, width=200, height=150)"
    # What needs no other size is converted and no more.
    assert (above.y, above.height) == (120, 240)
    assert np.array_equal(gray_boxed[120:360], gray)


def test_pillow_takes_a_picture(live, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        for frame in stream:
            try:
                rgb = frame.to_rgb()
                break
            except vas_frames.Overwritten:
                continue
    image = Image.fromarray(rgb)
    assert image.mode == "RGB" and image.size == (frame.width, frame.height)
    image.save(tmp_path / "front.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "front.png")), rgb)


def test_a_frame_that_was_overwritten_is_not_converted(live):
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame = next(stream)
        until("the slot is overwritten", lambda: not frame.intact)
        for convert in (frame.to_rgb, frame.to_bgr, frame.to_rgba, frame.to_gray):
            with pytest.raises(vas_frames.Overwritten, match="overwritten while it was being read"):
                convert()


def test_opencv_takes_a_copy_as_nv12(live):
    cv2 = pytest.importorskip("cv2")

    def work(frame):
        try:
            return cv2.cvtColor(frame.copy(), cv2.COLOR_YUV2BGR_NV12), cv2.mean(frame.luma)[0]
        except vas_frames.Overwritten:
            return None

    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        frame, (bgr, mean) = whole(stream, work)
    assert bgr.shape == (frame.height, frame.width, 3)
    assert mean > 0 and bgr.any()


def test_torch_takes_a_copy(live):
    torch = pytest.importorskip("torch", reason="torch is not installed: its wheel is larger than all of this project")
    with vas_frames.open("front", base=live.base, timeout=DEADLINE_S) as stream:
        for frame in stream:
            try:
                rgb = frame.to_rgb()
                break
            except vas_frames.Overwritten:
                continue
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.from_numpy(rgb)
    assert tuple(tensor.shape) == rgb.shape
    assert tensor.data_ptr() == rgb.__array_interface__["data"][0], "not copied"


def test_cameras_are_listed_and_a_base_that_is_not_there_is_named(live, tmp_path):
    until("the camera is there", lambda: live.base.exists() and vas_frames.cameras(live.base) == ["front"])
    assert vas_frames.cameras(str(live.base)) == ["front"]
    with pytest.raises(FileNotFoundError, match="no-such-base"):
        vas_frames.cameras(tmp_path / "no-such-base")
