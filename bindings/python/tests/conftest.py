"""Real cameras and a real server for the tests of this package.

`cargo xtask test` runs them (tests/e2e/tests/python.rs), with the programs and clips that they need. By hand, with a package that is
installed:

    VAS_TEST_PROGRAMS=target/debug VAS_CLIPS=target/clips python -m pytest bindings/python/tests
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

DEADLINE_S = 120  # far beyond what a loaded machine needs: when a state counts as "never"


def until(what, look):
    """Waits for a state; gives what the look found."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)


def program(name):
    folder = os.environ.get("VAS_TEST_PROGRAMS")
    assert folder, "VAS_TEST_PROGRAMS is not set: run the tests through `cargo xtask test`"
    path = pathlib.Path(folder) / name
    assert path.is_file(), f"{path} is not there: `cargo xtask test` builds it"
    return path


class Process:
    """A program that dies with this one, in whatever way this one ends."""

    def __init__(self, command, **options):
        leash = [str(program("vas-e2e-leash"))]
        self.child = subprocess.Popen(
            leash + [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.lines = []
        self.errors = []
        self.readers = [
            threading.Thread(target=self._keep, args=(self.child.stdout, self.lines), daemon=True),
            threading.Thread(target=self._keep, args=(self.child.stderr, self.errors), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _keep(pipe, lines):
        for line in pipe:
            lines.append(line.rstrip("\n"))

    def line_with(self, words):
        def look():
            found = [line for line in self.lines if words in line]
            assert found or self.child.poll() is None or self.readers[0].is_alive(), "\n".join(self.errors)
            return found

        return until(f"it says {words}", look)[0]

    def say(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def stop(self, by=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(by)
        code = self.child.wait(DEADLINE_S)
        for reader in self.readers:
            reader.join(DEADLINE_S)
        self.child.stdin.close()
        return code


class Scene:
    """A base directory, and the processes of one test."""

    def __init__(self, folder, files):
        self.base = folder / "vas"
        self.files = files
        self.processes = []

    def run(self, command, **options):
        # Nothing of what the surroundings say about servers.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAS_", "RUST_"))}
        kept.update(AI_FRAME_EXPORT_ENABLED="true", VAS_SHM_BASE=str(self.base), **options.pop("env", {}))
        process = Process(command, env=kept, **options)
        self.processes.append(process)
        return process

    def serve(self, url, camera="front", repeat=None):
        text = f'[[camera]]\nid = "{camera}"\nurl = "{url}"\n'
        if repeat is not None:
            text += f"loop = {str(repeat).lower()}\n"
        config = self.files / "vas.toml"
        config.write_text(text)
        return self.run([program("vas-ingest"), "run", "--config", config])

    def camera(self, *clips):
        process = self.run([program("vas-test-camera"), "--pace-from", "first-play", "--port", "0", *clips])
        return process, process.line_with("READY ").split(" ")[1]

    def end(self):
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)


@pytest.fixture
def scene(tmp_path):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vas-e2e-", dir=os.environ.get("VAS_TEST_SHM", "/dev/shm")))
    # Says to others that the folder is in use: tests remove what interrupted ones left behind.
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    scene = Scene(folder, tmp_path)
    try:
        yield scene
    finally:
        scene.end()
        shutil.rmtree(folder)
        os.close(lock)


@pytest.fixture
def clip():
    folder = os.environ.get("VAS_CLIPS")
    assert folder, "VAS_CLIPS is not set: `cargo xtask test` makes the clips and sets it to their folder"

    def path(name):
        path = pathlib.Path(folder) / name
        assert path.is_file(), f"the clip {path} is not there"
        return path

    return path


@pytest.fixture
def live(scene, clip):
    """A server that plays a clip round and round as camera "front"."""
    scene.server = scene.serve(clip("yard.mp4"), repeat=True)
    return scene
