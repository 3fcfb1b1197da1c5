# SPDX-License-Identifier: MIT OR Apache-2.0
"""read.py --way POLICY --base BASE --frames COUNT --warm-up COUNT: a reader in Python for the bench of waiting, as read.rs is one in Rust.

Prints from when on it had each frame, and what that cost, as JSON.
"""

import argparse
import json
import time

import vas_frames

arguments = argparse.ArgumentParser()
arguments.add_argument("--way", required=True)
arguments.add_argument("--base", required=True)
arguments.add_argument("--frames", type=int, required=True)
arguments.add_argument("--warm-up", type=int, required=True)
arguments = arguments.parse_args()

latencies_ns = []
skipped = 0
policy = arguments.way.replace("-", "_")
with vas_frames.open("waiting", base=arguments.base, policy=policy, timeout=10) as stream:
    for number, frame in enumerate(stream, start=1):
        found_ns = time.monotonic_ns()
        if number == arguments.warm_up:
            begun_ns, cpu_begun_ns = time.monotonic_ns(), time.process_time_ns()
        if number <= arguments.warm_up:
            continue
        latencies_ns.append(max(found_ns - frame.timestamp_ns, 0))
        skipped += frame.skipped
        if len(latencies_ns) == arguments.frames:
            break
    cpu_ns, wall_ns = time.process_time_ns() - cpu_begun_ns, time.monotonic_ns() - begun_ns

print(json.dumps({"latencies_ns": latencies_ns, "cpu_ns": cpu_ns, "wall_ns": wall_ns, "skipped": skipped}))
