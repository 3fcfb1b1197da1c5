import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstApp, GstVideo
import numpy

Gst.init(None)
camera, frames = sys.argv[1], int(sys.argv[2])
pipeline = Gst.parse_launch(f"vasframesrc camera={camera} ! appsink name=sink sync=false max-buffers=1 drop=true")
pipeline.set_state(Gst.State.PLAYING)
for _ in range(frames):
    sample = pipeline.get_by_name("sink").pull_sample()  # waits
    buffer, info = sample.get_buffer(), GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    meta = GstVideo.buffer_get_video_meta(buffer)  # where the rows are
    nv12 = numpy.frombuffer(buffer.extract_dup(0, buffer.get_size()), numpy.uint8)
    luma = nv12[meta.offset[0]:][: meta.stride[0] * info.height].reshape(info.height, -1)[:, : info.width]
    print(f"frame {buffer.offset} {info.width}x{info.height} mean luma {luma.mean():.2f}", flush=True)
pipeline.set_state(Gst.State.NULL)
