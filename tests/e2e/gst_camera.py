#!/usr/bin/python3
"""An RTSP camera of GStreamer's gst-rtsp-server: plays an mp4 file in real time, from its beginning for a first client.

usage: gst_camera.py --codec h264|h265 FILE     serve it; prints READY URL; ends with its standard input
       gst_camera.py --probe                    end well if everything needed is installed
"""

import argparse
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("--codec", choices=["h264", "h265"], default="h264")
parser.add_argument("--probe", action="store_true")
parser.add_argument("file", nargs="?")
arguments = parser.parse_args()

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
number = arguments.codec[1:]
for element in ["filesrc", "qtdemux", f"h{number}parse", f"rtph{number}pay"]:
    if Gst.ElementFactory.find(element) is None:
        sys.exit(f"GStreamer's element {element} is missing")
if arguments.probe:
    sys.exit(0)

factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location=\"{arguments.file}\" ! qtdemux ! h{number}parse"
    f" ! rtph{number}pay name=pay0 pt=96 config-interval=-1 )"
)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
server.get_mount_points().add_factory("/cam", factory)
if server.attach(None) == 0:
    sys.exit("no port to be had on 127.0.0.1")
loop = GLib.MainLoop()


def end_with_standard_input():
    sys.stdin.read()
    loop.quit()


threading.Thread(target=end_with_standard_input, daemon=True).start()
print(f"READY rtsp://127.0.0.1:{server.get_bound_port()}/cam", flush=True)
loop.run()
