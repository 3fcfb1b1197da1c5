# SPDX-License-Identifier: MIT OR Apache-2.0
"""A line of JSON per frame and per change of state, as `vas-frames watch CAMERA --json --hash md5` prints them.

The hash is that of the visible picture packed as NV12, comparable with `ffmpeg -pix_fmt nv12 -f framemd5`.
"""

import argparse
import hashlib
import json
import sys
import time

import vas_frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("camera")
    parser.add_argument("--base", help="default: VAS_SHM_BASE, else /dev/shm/vas")
    parser.add_argument("--count", type=int, help="end after this many frames")
    parser.add_argument("--mode", default="next", choices=["next", "latest"])
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="end when nothing came for so long")
    arguments = parser.parse_args()

    started_ns = time.monotonic_ns()
    printed = 0
    lost = 0  # found, but overwritten before they were copied; told with the next line
    with vas_frames.open(
        arguments.camera, base=arguments.base, mode=arguments.mode, timeout=arguments.timeout
    ) as stream:
        for event in stream.events():
            if isinstance(event, vas_frames.Status):
                line = {"state": event.state, "camera": event.camera}
                if event.why is not None:
                    line["why"] = event.why
                print(json.dumps(line), flush=True)
                continue
            found_ns = time.monotonic_ns()
            try:
                picture = event.copy()
            except vas_frames.Overwritten:
                lost += event.skipped + 1
                continue
            line = {
                "frame_id": event.id,
                "timestamp_ns": event.timestamp_ns,
                "age_ms": (found_ns - event.timestamp_ns) / 1e6,
                "found_ns": found_ns,
                "since_start_ns": found_ns - started_ns,
                "skipped": event.skipped + lost,
                "damaged": event.damaged,
                "width": event.width,
                "height": event.height,
                "generation": event.generation,
                "md5": hashlib.md5(picture).hexdigest(),
            }
            lost = 0
            print(json.dumps(line), flush=True)
            printed += 1
            if printed == arguments.count:
                return


if __name__ == "__main__":
    try:
        main()
    except (vas_frames.Timeout, vas_frames.Refused) as error:
        sys.exit(f"watch: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)
