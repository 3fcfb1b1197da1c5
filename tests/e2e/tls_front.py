"""A TLS connection before a camera that has none: takes it off and passes on what is inside.

tls_front.py CERTIFICATE KEY PORT: prints READY and its own port, then passes every connection on to PORT of this machine.
Ends when standard input ends.
"""

import socket
import ssl
import sys
import threading


def pass_on(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass
    for side in (source, target):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client, context, port):
    try:
        client = context.wrap_socket(client, server_side=True)
        camera = socket.create_connection(("127.0.0.1", port))
    except OSError:
        client.close()
        return
    # One thread reads while the other one writes: OpenSSL allows that on one connection only under its lock, which Python holds.
    threading.Thread(target=pass_on, args=(client, camera), daemon=True).start()
    pass_on(camera, client)


def main():
    certificate, key, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print("READY", listener.getsockname()[1], flush=True)

    def accept():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client, context, port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
