"""Firefox, driven by WebDriver BiDi, which it speaks itself: what Playwright needs of it only newer ones have.

A `Tab` opens pages, evaluates scripts in them, clicks, presses keys, and takes pictures; it keeps what the page
complains about. Only the standard library is used.
"""

import base64
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess

NAMES = ["firefox-esr", "firefox"]
MISSING = "no Firefox found: install the package `firefox-esr` or `firefox`"
PATIENCE = 60  # seconds
# Nothing is asked of other hosts.
PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.prefetch-next": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "data:,",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
}


def find():
    return next(filter(None, map(shutil.which, NAMES)), None)


class _Socket:
    """A WebSocket, as far as text messages of a client and a server on one machine need it."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /session HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self.connection.sendall("\r\n".join(lines).encode())
        self.stream = self.connection.makefile("rb")
        status = self.stream.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"Firefox answers {status!r}")
        while self.stream.readline().strip():
            pass

    def send(self, text, opcode=1):
        data = text.encode()
        size = len(data)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 1 << 16:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        mask = os.urandom(4)
        masked = bytes(byte ^ key for byte, key in zip(data, itertools.cycle(mask), strict=False))
        self.connection.sendall(head + mask + masked)

    def receive(self):
        whole = b""
        while True:
            first, second = self.stream.read(2)
            size = second & 0x7F
            if size == 126:
                [size] = struct.unpack(">H", self.stream.read(2))
            elif size == 127:
                [size] = struct.unpack(">Q", self.stream.read(8))
            data = self.stream.read(size)
            opcode = first & 0xF
            if opcode == 8:
                raise ConnectionError("Firefox has closed the connection")
            if opcode == 9:
                self.send(data.decode(), opcode=10)
            if opcode > 2:
                continue
            whole += data
            if first & 0x80:
                return json.loads(whole)

    def close(self):
        self.stream.close()
        self.connection.close()


class Firefox:
    def __init__(self, path, folder):
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        (folder / "user.js").write_text("\n".join(lines))
        command = [path, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port=0"]
        environment = {**os.environ, "MOZ_DISABLE_CONTENT_SANDBOX": "1", "HOME": str(folder)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        )
        for line in self.process.stderr:
            if found := re.search(r"WebDriver BiDi listening on ws://[^:]*:(\d+)", line):
                break
        else:
            raise ConnectionError("Firefox did not start")
        self.socket = _Socket(int(found[1]))
        self.numbers = itertools.count()
        self.events = []
        self.do("session.new", capabilities={})
        self.do("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    def do(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = self.socket.receive()
            if message.get("type") == "event":
                self.events.append(message)
            elif message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]

    def close(self):
        try:
            self.do("browser.close")
        finally:
            self.socket.close()
            self.process.stderr.close()
            self.process.terminate()
            self.process.wait(PATIENCE)


class Tab:
    """A tab, and what its page complains about."""

    def __init__(self, firefox, first=""):
        self.firefox = firefox
        self.context = firefox.do("browsingContext.create", type="tab")["context"]
        if first:  # a script that runs before those of the page
            about = {"functionDeclaration": f"() => {{ {first} }}", "contexts": [self.context]}
            firefox.do("script.addPreloadScript", **about)
        firefox.events.clear()

    def open(self, address, width, height):
        self.firefox.do(
            "browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height}
        )
        self.firefox.do("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def evaluate(self, script):
        """The value of an expression; a promise is waited for. It must be plain."""
        result = self.firefox.do(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then(value => JSON.stringify(value) ?? 'null')",
            target={"context": self.context},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def wait(self, condition):
        """Wait until an expression is true, frame by frame."""
        return self.evaluate(
            f"""new Promise((done, fail) => {{
              const end = performance.now() + {PATIENCE} * 1000
              const look = () => {{
                if ({condition}) done(true)
                else if (performance.now() > end) fail(new Error({json.dumps("waited in vain: " + condition)}))
                else requestAnimationFrame(look)
              }}
              look()
            }})"""
        )

    def _perform(self, *sources):
        self.firefox.do("input.performActions", context=self.context, actions=list(sources))

    def click(self, element):
        """Click the middle of the element that an expression gives."""
        script = f"""(() => {{
          const target = {element}
          target.scrollIntoView({{ block: 'center', behavior: 'instant' }})
          const {{ x, y, width, height }} = target.getBoundingClientRect()
          return [x + width / 2, y + height / 2]
        }})()"""
        x, y = map(round, self.evaluate(script))
        move = {"type": "pointerMove", "x": x, "y": y}
        press, lift = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self._perform({**mouse, "actions": [move, press, lift]})

    def press(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keys", "actions": actions})

    def picture(self, path):
        shot = self.firefox.do("browsingContext.captureScreenshot", context=self.context)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self, *allowed):
        """Errors of scripts and of the console, and requests for what is elsewhere, since the tab was made."""
        found = []
        for event in self.firefox.events:
            about = event["params"]
            if event["method"] == "log.entryAdded" and about["level"] == "error":
                found.append(f"console: {about.get('text')}")
            elif event["method"] == "network.beforeRequestSent":
                url = about["request"]["url"]
                if not url.startswith((*allowed, "data:", "blob:", "about:")):
                    found.append(f"asks for what is elsewhere: {url}")
        return found

    def close(self):
        self.firefox.do("browsingContext.close", context=self.context)
