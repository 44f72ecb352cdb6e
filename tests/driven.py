"""A real browser without a window that a test drives: pages over HTTP, clicks, files, pictures of what is seen.

It is spoken to by the DevTools protocol over a pair of pipes, which needs nothing but the browser itself.
"""

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import CHROMIUM

PATIENCE = 300.0


class Tab:
    """A page in a browser; ``errors`` holds what its console complained of, ``requests`` every URL it asked for."""

    def __init__(self, process: "subprocess.Popen[bytes]", inbox: int, outbox: int) -> None:
        self._process, self._inbox, self._outbox = process, inbox, os.fdopen(outbox, "rb")
        self._number, self._session = 0, ""
        self.errors: list[str] = []
        self.requests: list[str] = []

    def attach(self, downloads: Path) -> None:
        (target,) = (t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        found = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.send(f"{domain}.enable")
        self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and note what happens until it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._inbox, json.dumps(message).encode() + b"\0")
        while True:
            heard = json.loads(self._hear())
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return dict(heard["result"])
            self._note(heard)

    def _hear(self) -> bytes:
        text = bytearray()
        while (byte := self._outbox.read(1)) != b"\0":
            assert byte, "the browser is gone"
            text += byte
        return bytes(text)

    def _note(self, heard: dict[str, Any]) -> None:
        params = heard.get("params", {})
        match heard.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                self.errors.append(json.dumps(params["args"]))

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Value of an expression; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} did not come true; {self.errors}"
            time.sleep(0.05)

    def click(self, selector: str, x: float | None = None, y: float | None = None) -> None:
        """Click on the middle of an element, or so many pixels from its corner, as a hand would.

        A page that grows meanwhile moves what is clicked on: a middle that was missed is tried again.
        """
        for _ in range(20):
            left, top, width, height = self.run(
                f"(() => {{ const found = document.querySelector({json.dumps(selector)}); window.hit = false; "
                "found.addEventListener('click', () => { window.hit = true }, { capture: true, once: true }); "
                "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect(); "
                "return [box.left, box.top, box.width, box.height] })()"
            )
            place = {"x": left + (width / 2 if x is None else x), "y": top + (height / 2 if y is None else y)}
            self.send("Input.dispatchMouseEvent", type="mouseMoved", **place)
            for kind in ("mousePressed", "mouseReleased"):
                self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
            if x is not None or self.run("window.hit"):
                return
        raise AssertionError(f"{selector} was not hit: {self.run('document.body.innerText')}")

    def choose(self, selector: str, path: Path) -> None:
        """Put a file into an input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def media(self, **features: str) -> None:
        """As ``media(prefers_color_scheme="dark")``."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=chosen)

    def picture(self, path: Path) -> None:
        """Write a PNG of the whole page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """Start a browser whose profile and downloads lie in ``folder``."""
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    arguments = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--disable-background-networking",
        "--disable-component-update", "--no-first-run", f"--user-data-dir={folder / 'profile'}", "about:blank",
    ]  # fmt: skip
    # The browser reads from file 3 and writes to file 4.
    command = ["bash", "-c", f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}', str(CHROMIUM), *arguments]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(command, pass_fds=(from_us, to_us), stdout=log, stderr=log)
        os.close(from_us)
        os.close(to_us)
        try:
            tab = Tab(process, to_browser, from_browser)
            tab.attach(folder)
            yield tab
        finally:
            process.kill()
            process.wait()
            os.close(to_browser)
            tab._outbox.close()
