"""A real Chromium without a window for tests: installed where that can be, and spoken to by its DevTools protocol.

with chromium.running() as browser:
    page = browser.open(path.as_uri(), width=400, dark=True)
    page.evaluate("document.title"), page.errors, page.screenshot(), page.pdf()
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from base64 import b64decode
from pathlib import Path

from tornado.websocket import websocket_connect

LOCK = Path(tempfile.gettempdir()) / f"dxflow-chromium-{os.getuid()}.lock"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-extensions",
    ),
    *(
        "--disable-dev-shm-usage",
        "--disable-default-apps",
        "--metrics-recording-only",
        "--remote-debugging-port=0",
    ),
)


def program():
    """Return the path of the browser; install the package where that is possible."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := next(filter(None, map(shutil.which, NAMES)), None):
            return found
        assert os.getuid() == 0, "no Chromium for these tests; run: sudo apt-get install -y chromium"
        install = "apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core"
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            # The package index may be stale: it is refreshed only when the plain install fails.
            ["sh", "-c", f"{install} || {{ apt-get update -q && {install}; }}"],
            capture_output=True,
            text=True,
            check=False,
            env=env,
        )
        assert done.returncode == 0, f"no Chromium for these tests: {done.stderr}"
    return shutil.which("chromium")


@contextlib.contextmanager
def running():
    """Give a browser with a profile of its own, ended with what it started."""
    folder = tempfile.mkdtemp(prefix="dxflow-chromium-")
    process = subprocess.Popen(
        [program(), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with contextlib.closing(Browser(Path(folder), process)) as browser:
            yield browser
    finally:
        # The group of processes that it began, and no other.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Browser:
    """A browser that runs."""

    def __init__(self, folder, process):
        self.loop = asyncio.new_event_loop()
        self.replies, self.pages, self.last = {}, {}, 0
        port = folder / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (port.exists() and len(port.read_text().split()) == 2):
            assert process.poll() is None, f"Chromium ended: {process.returncode}"
            assert time.monotonic() < end, "Chromium did not start in 60 s"
            time.sleep(0.05)
        number, path = port.read_text().split()
        url = f"ws://127.0.0.1:{number}{path}"
        self.socket = self.loop.run_until_complete(_connected(url))

    def close(self):
        self.socket.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def ask(self, method, session=None, **params):
        """Return the answer to a request of the DevTools protocol."""
        self.last += 1
        number = self.last
        said = {"id": number, "method": method, "params": params} | (
            {"sessionId": session} if session else {}
        )
        self.loop.run_until_complete(_written(self.socket, json.dumps(said)))
        while number not in self.replies:
            self.listen(60)
        found = self.replies.pop(number)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def listen(self, seconds):
        """Take the next message."""
        coming = asyncio.wait_for(_read(self.socket), seconds)
        message = json.loads(self.loop.run_until_complete(coming))
        if "id" in message:
            self.replies[message["id"]] = message
        elif page := self.pages.get(message.get("sessionId")):
            page.heard(message["method"], message["params"])

    def open(self, url, width=1400, height=900, dark=False):
        """Return a page that is loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        page.ask("Emulation.setEmulatedMedia", features=scheme)
        page.resize(width, height)
        page.ask("Page.navigate", url=url)
        page.wait("document.readyState == 'complete' && location.href != 'about:blank'")
        return page


async def _connected(url):
    return await websocket_connect(url, max_message_size=2**28)


async def _written(socket, text):
    await socket.write_message(text)


async def _read(socket):
    message = await socket.read_message()
    assert message is not None, "Chromium has gone"
    return message


class Page:
    """A page: what it says, how it looks, what it complained of (`errors`), what it asked for (`requests`)."""

    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.errors, self.requests = [], []

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def heard(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("text", str(params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert", "warning"):
            self.errors.append(str([one.get("value") for one in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])

    def resize(self, width, height=900):
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def evaluate(self, code):
        """Return the value of JavaScript, as JSON."""
        found = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, code, seconds=30):
        """Wait until JavaScript is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(code):
            assert time.monotonic() < end, f"still not so after {seconds} s: {code}"
            time.sleep(0.02)

    def text(self, selector="body"):
        """Return the text that is seen."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def screenshot(self, path=None, whole=True):
        """Return the page as PNG, all of it or what is seen at once."""
        found = b64decode(
            self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        )
        if path is not None:
            Path(path).write_bytes(found)
        return found

    def pdf(self, path=None):
        """Return the page as it is printed."""
        found = b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])
        if path is not None:
            Path(path).write_bytes(found)
        return found

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)
