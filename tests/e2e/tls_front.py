"""A TLS connection before a camera that has none: takes it off and passes on what is inside.

tls_front.py CERTIFICATE KEY PORT: prints READY and its own port, then passes every connection on to PORT of this machine.
Ends when standard input ends.
"""

import select
import socket
import ssl
import sys
import threading


class Encrypted:
    """A TLS connection that one thread reads while another one writes.

    OpenSSL wants one call at a time for a connection, and Python lets go of its own lock during each. So there is a lock for every
    call, and no call ever blocks: what waits, waits without the lock.
    """

    # Should the other thread's call have taken what this one waits for off the socket, it asks again.
    LONGEST_WAIT_S = 1

    def __init__(self, connection):
        connection.setblocking(False)
        self.connection = connection
        self.lock = threading.Lock()
        self.is_over = False

    def call(self, what):
        while True:
            try:
                with self.lock:
                    if self.is_over:
                        raise ConnectionAbortedError("the other side has ended")
                    return what()
            except ssl.SSLWantReadError:
                select.select([self.connection], [], [], self.LONGEST_WAIT_S)
            except ssl.SSLWantWriteError:
                select.select([], [self.connection], [], self.LONGEST_WAIT_S)

    def recv(self, most):
        return self.call(lambda: self.connection.recv(most))

    def sendall(self, data):
        rest = memoryview(data)
        while rest:
            sent = self.call(lambda: self.connection.send(rest))
            rest = rest[sent:]

    def shutdown(self, how):
        with self.lock:
            self.is_over = True
            self.connection.shutdown(how)


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
    client = Encrypted(client)
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
