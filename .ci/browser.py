#!/usr/bin/env python3
"""Opens pages in headless Chromium, as a reader would, and complains about what none should do.

    browser.py FOLDER PAGE...

Every page is opened 1400 and 400 pixels wide, light and dark; its picture is left in FOLDER as NAME-WIDTH-SCHEME.png, and what a
printer would get as NAME.pdf. A message in the console, a request for anything but the page, a page wider than the window,
a picture or table wider than paper, an element or attribute that reports do not have, and letters that are too faint for what is
behind them are errors.
Speaks the DevTools protocol over a pipe, so that the standard library is enough.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ELEMENTS = set(
    "html head meta title link style body header main footer h1 h2 h3 p div ul li figure figcaption table thead tbody tfoot tr th"
    " td pre details summary svg desc g rect path circle text".split()
)

# What the page looks like from inside: names of elements and attributes, widths, and the least contrast of any text.
SURVEY = """(() => {
  const all = [...document.querySelectorAll('*')];
  const part = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 };
  const light = c => .2126 * part(c[0]) + .7152 * part(c[1]) + .0722 * part(c[2]);
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const solid = c => { const n = numbers(c); return n.length == 3 || n[3] > 0 ? n : null };
  const behind = e => {
    if (e.tagName == 'text' && e.previousElementSibling?.tagName == 'rect' && e.closest('.cells'))
      return numbers(getComputedStyle(e.previousElementSibling).fill);
    for (; e; e = e.parentElement) { const c = solid(getComputedStyle(e).backgroundColor); if (c) return c }
    return [255, 255, 255];
  };
  let least = [99, ''];
  for (const e of all) {
    if (!e.checkVisibility() || ['title', 'desc', 'style'].includes(e.tagName)) continue;
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(numbers(e.tagName == 'text' ? style.fill : style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < least[0]) least = [ratio, e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.slice(0, 40)];
  }
  return JSON.stringify({
    elements: [...new Set(all.map(e => e.tagName.toLowerCase()))],
    handlers: all.flatMap(e => e.getAttributeNames().filter(n => n.startsWith('on') || ['src', 'href'].includes(n)
        && !(e.tagName == 'LINK' && e.getAttribute('href') == 'data:,'))),
    width: document.documentElement.scrollWidth, room: document.documentElement.clientWidth,
    height: document.documentElement.scrollHeight, pictures: document.querySelectorAll('svg').length, contrast: least,
  });
})()"""

# Between the margins of A4, which is narrower than Letter, in pixels of 1/96 inch.
PAPER_WIDTH = round((210 - 2 * 16) / 25.4 * 96)

# What would be cut off at the edge of the paper.
CUT = """JSON.stringify([...document.querySelectorAll('svg, table, pre, p, h1, h2, figcaption')].filter(e => e.checkVisibility()
  && (e.getBoundingClientRect().right > innerWidth + 1 || getComputedStyle(e.parentElement).overflowX == 'auto'))
  .map(e => e.tagName + ' ' + (e.closest('figure') ?? e).textContent.trim().slice(0, 60)))"""


class Browser:
    """A headless Chromium at the other end of two pipes; messages are JSON that ends in a zero byte."""

    def __init__(self, profile):
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            sys.exit("chromium is not installed")
        to_browser, from_browser = os.pipe(), os.pipe()

        def connect():
            # Copies first, in case one of the ends is 3 or 4 already.
            reading, writing = os.dup(to_browser[0]), os.dup(from_browser[1])
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}",
             "--no-first-run", "--disable-extensions", "--disable-component-update", "about:blank"],
            preexec_fn=connect, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.output, self.input = to_browser[1], os.fdopen(from_browser[0], "rb")
        self.number, self.session, self.events = 0, None, []

    def receive(self):
        message = bytearray()
        while (byte := self.input.read(1)) != b"\0":
            if not byte:
                sys.exit("chromium ended")
            message += byte
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())

    def open_tab(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self.call(f"{domain}.enable")

    def close(self):
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=60)


def open_page(browser, page, folder, width, scheme):
    """Looks at a page once; returns complaints."""
    address = page.resolve().as_uri()
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.events.clear()
    complaints = []
    browser.call("Page.navigate", url=address)
    browser.wait("Page.loadEventFired")
    survey = json.loads(browser.call("Runtime.evaluate", expression=SURVEY)["result"]["value"])
    size = {"x": 0, "y": 0, "width": width, "height": min(survey["height"], 16000), "scale": 1}
    shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, clip=size)["data"]
    (folder / f"{page.stem}-{width}-{scheme}.png").write_bytes(base64.b64decode(shot))
    if width > 500 and scheme == "dark":
        pdf = browser.call("Page.printToPDF", printBackground=True)["data"]
        (folder / f"{page.stem}.pdf").write_bytes(base64.b64decode(pdf))
        browser.call("Emulation.setDeviceMetricsOverride", width=PAPER_WIDTH, height=900, deviceScaleFactor=1, mobile=False)
        browser.call("Emulation.setEmulatedMedia", media="print")
        cut = json.loads(browser.call("Runtime.evaluate", expression=CUT)["result"]["value"])
        browser.call("Emulation.setEmulatedMedia", media="")
        complaints += [f"is cut by the edge of paper: {part}" for part in cut]

    for event in browser.events:
        method, about = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent" and about["request"]["url"] not in (address, "data:,"):
            complaints.append(f"asks for {about['request']['url']}")
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            complaints.append(f"says {json.dumps(about)}")
    if survey["width"] > survey["room"]:
        complaints.append(f"is {survey['width']} pixels wide in {survey['room']}")
    if unknown := set(survey["elements"]) - ELEMENTS:
        complaints.append(f"has elements {sorted(unknown)}")
    if survey["handlers"]:
        complaints.append(f"has attributes {sorted(set(survey['handlers']))}")
    if survey["contrast"][0] < 4.5:
        complaints.append(f"has a text with a contrast of {survey['contrast'][0]:.2f}: {survey['contrast'][1]}")
    print(f"{page.name} at {width}, {scheme}: {survey['pictures']} pictures, contrast from {survey['contrast'][0]:.2f}")
    return [f"{page.name} at {width}, {scheme}: {complaint}" for complaint in complaints]


def main():
    folder, pages = pathlib.Path(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]]
    folder.mkdir(parents=True, exist_ok=True)
    complaints = []
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        browser.open_tab()
        for page in pages:
            for width in (1400, 400):
                for scheme in ("light", "dark"):
                    complaints += open_page(browser, page, folder, width, scheme)
        browser.close()
    sys.exit("\n".join(complaints) or None)


if __name__ == "__main__":
    main()
