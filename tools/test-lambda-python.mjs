// Runs the handler's tests on Python 3.14, the version of the handler's Lambda runtime. Part of `make test-pythons`.
//
// The npm package pyodide is CPython 3.14 compiled to WebAssembly, so you need no interpreter. The packages come from the
// site-packages folder in the first argument. Only pure Python packages work.
import { existsSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const PACKAGES = [
  "_pytest", "boto3", "botocore", "dateutil", "hypothesis", "iniconfig", "jmespath", "packaging", "pluggy", "pygments",
  "pytest", "s3transfer", "sortedcontainers", "urllib3",
];
const MODULES = ["_hypothesis_globals.py", "py.py", "six.py", "typing_extensions.py"];
// More than 700 tests pass. Without this limit, leaving out too many would look like success.
const AT_LEAST = 300;

if (isMainThread) {
  // Tests of deeply nested JSON overflow the usual 4 MB: a call in Python takes several calls in WebAssembly.
  const worker = new Worker(new URL(import.meta.url), {
    workerData: process.argv.slice(2),
    resourceLimits: { stackSizeMb: 64 },
  });
  worker.on("message", (code) => (process.exitCode = code));
  worker.on("error", (error) => {
    // Cut the stack trace: WebAssembly's source lines are a megabyte long.
    console.error(String(error.stack ?? error).slice(0, 4000));
    process.exitCode = 1;
  });
} else {
  parentPort.postMessage(await run(...workerData));
}

async function run(sitePackages, ...tests) {
  const { loadPyodide } = await import("pyodide");
  const python = await loadPyodide();
  // A worker's own streams have no file descriptor, which Pyodide needs.
  python.setStdin({ stdin: () => null });
  python.setStdout({ write: (bytes) => writeSync(1, bytes) });
  python.setStderr({ write: (bytes) => writeSync(2, bytes) });
  const mount = (from, to) => {
    python.FS.mkdirTree(to);
    python.mountNodeFS(to, from);
  };
  mount(join(dirname(fileURLToPath(import.meta.url)), ".."), "/project");
  for (const name of PACKAGES) mount(join(sitePackages, name), `/packages/${name}`);
  mount(sitePackages, "/site-packages");
  for (const name of MODULES.filter((name) => existsSync(join(sitePackages, name)))) {
    python.FS.symlink(`/site-packages/${name}`, `/packages/${name}`);
  }
  return python.runPython(`
import os, sys
# Write no files to the mounted folders.
sys.dont_write_bytecode = True
sys.path[:0] = ["/project/lambda", "/project/local", "/project/tests", "/packages"]
os.chdir("/project")
print("Python", sys.version.split()[0], "in Pyodide", flush=True)
import pytest
options = ["-p", "other_pythons", "--at-least", "${AT_LEAST}", "-p", "no:cacheprovider", "--override-ini=addopts="]
# Pyodide has neither pytest-timeout nor the signal that faulthandler needs.
options += ["-p", "no:faulthandler", "-W", "ignore:Unknown config option", "--import-mode=importlib", "-q"]
int(pytest.main([*options, *${JSON.stringify(tests)}]))
`);
}
