"""OpenCV's part of `cargo xtask bench convert`: one line in, one conversion, the processor time of it in nanoseconds out."""
import sys
import time

import cv2
import numpy as np

cv2.setNumThreads(1)
path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
nv12 = np.fromfile(path, np.uint8).reshape(height * 3 // 2, width)
out = np.empty((height, width, 3), np.uint8)
grey = np.empty((height, width), np.uint8)
small = np.empty((360, 640, 3), np.uint8)
boxed = np.empty((640, 640, 3), np.uint8)


def letterbox():
    cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12, dst=out)
    cv2.resize(out, (640, 360), dst=small, interpolation=cv2.INTER_LINEAR)
    cv2.copyMakeBorder(small, 140, 140, 0, 0, cv2.BORDER_CONSTANT, dst=boxed, value=(114, 114, 114))


tasks = {
    "rgb": lambda: cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12, dst=out),
    "bgr": lambda: cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12, dst=out),
    "grey": lambda: cv2.cvtColor(nv12, cv2.COLOR_YUV2GRAY_NV12, dst=grey),
    "letterbox": letterbox,
}
print(cv2.__version__, flush=True)
for line in sys.stdin:
    task = tasks[line.strip()]
    begin = time.thread_time_ns()
    task()
    print(time.thread_time_ns() - begin, flush=True)
