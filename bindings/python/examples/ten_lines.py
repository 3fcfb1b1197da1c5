# SPDX-License-Identifier: MIT OR Apache-2.0
import sys

import vas_frames

for frame in vas_frames.open(sys.argv[1] if len(sys.argv) > 1 else "front"):
    try:
        picture = frame.to_bgr()  # a numpy array of your own, as OpenCV wants it
    except vas_frames.Overwritten:
        continue  # too slow for this one: take the next
    print(f"frame {frame.id} of {frame.captured_at:%H:%M:%S.%f}: {picture.shape}, mean {picture.mean():.1f}")
