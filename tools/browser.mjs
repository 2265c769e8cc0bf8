// Controls the installed Chromium with the Chrome DevTools Protocol, for tools/check-docs.mjs.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const OPTIONS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
];
const TIMEOUT_MS = 60_000;

// Returns the path of Chromium, or undefined if it is not in PATH.
export function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export class Browser {
  #calls = new Map();
  #events = new Map();
  #lastId = 0;
  #received = "";

  constructor(chromium) {
    this.profile = mkdtempSync(join(tmpdir(), "check-docs-"));
    const options = [...OPTIONS, `--user-data-dir=${this.profile}`, "about:blank"];
    this.process = spawn(chromium, options, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.exited = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.stdio[4].setEncoding("utf8").on("data", (text) => this.#receive(text));
  }

  // Opens a tab.
  async open() {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    await this.call("Page.enable", {}, sessionId);
    return new Tab(this, sessionId);
  }

  call(method, params, sessionId) {
    const id = ++this.#lastId;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return this.#within(method, (resolve, reject) => this.#calls.set(id, { method, resolve, reject }));
  }

  // Resolves when the next event of that name in a tab arrives.
  next(event, sessionId) {
    return this.#within(event, (resolve) => this.#events.set(`${sessionId} ${event}`, resolve));
  }

  async close() {
    this.process.kill("SIGKILL");
    await this.exited;
    // Chromium's other processes end a moment later and might still write.
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #within(what, start) {
    return new Promise((resolve, reject) => {
      const expire = () => reject(new Error(`${what}: no answer from Chromium within ${TIMEOUT_MS / 1000} seconds`));
      const timer = setTimeout(expire, TIMEOUT_MS);
      const stop = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      start(stop(resolve), stop(reject));
    });
  }

  #receive(text) {
    const messages = (this.#received + text).split("\0");
    this.#received = messages.pop();
    for (const { id, method, sessionId, result, error } of messages.map((message) => JSON.parse(message))) {
      const call = this.#calls.get(id);
      if (call) {
        this.#calls.delete(id);
        if (error) call.reject(new Error(`${call.method}: ${error.message}`));
        else call.resolve(result);
      } else {
        this.#events.get(`${sessionId} ${method}`)?.();
      }
    }
  }
}

class Tab {
  constructor(browser, sessionId) {
    this.browser = browser;
    this.sessionId = sessionId;
  }

  call(method, params = {}) {
    return this.browser.call(method, params, this.sessionId);
  }

  async goto(url) {
    const loaded = this.browser.next("Page.loadEventFired", this.sessionId);
    await this.call("Page.navigate", { url });
    await loaded;
  }

  // Sets the width in CSS pixels and the color scheme, "light" or "dark".
  async show(width, scheme) {
    await this.call("Emulation.setDeviceMetricsOverride", {
      width, height: 900, deviceScaleFactor: 1, mobile: width < 600,
    });
    await this.call("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }],
    });
  }

  // Returns the value of a JavaScript expression. Promises are awaited.
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", {
      expression, awaitPromise: true, returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }
}
