from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fedcredit.errors import InputError
from fedcredit.federation.runtimes import isolation

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")

PROBE = """
import os, socket
from fedcredit.federation.runtimes.isolation import enter_loopback_namespace
before = os.getuid()
enter_loopback_namespace()
assert os.getuid() == before
print([name for _, name in socket.if_nameindex()])
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
    print("loopback")
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_only_loopback_exists_and_works() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, timeout=60)
    if "allows no network namespace" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['lo']", "loopback", "OSError 101"]


def test_a_system_that_refuses_gets_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(flags: int) -> int:
        asked.append(flags)
        return 1

    monkeypatch.setattr(isolation, "_unshare", refuse)
    with pytest.raises(InputError, match=r"runtime.isolate is true.*Operation not permitted.*runtime=inline"):
        isolation.enter_loopback_namespace()
    assert asked == [0x40000000, 0x50000000]
