import sys
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
camera, port = sys.argv[1:]  # port 0: any that is free
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( vasframesrc camera={camera} ! videoconvert ! x264enc tune=zerolatency ! rtph264pay name=pay0 )")
factory.set_shared(True)  # one pipeline for all who look
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
server.get_mount_points().add_factory(f"/{camera}", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/{camera}", flush=True)
GLib.MainLoop().run()
