// Checks the built documentation in a browser: `make docs-check`.
//
// axe-core must find no violation on any page, and no page may scroll sideways, in the light and the dark color scheme,
// on a desktop and on a phone. A search must find the right page.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser, findChromium } from "./browser.mjs";

const WIDTHS = [1440, 390];
const SCHEMES = ["light", "dark"];
// Words that users search for, and the page that must be among the first results.
const SEARCHES = {
  price: "limits", cost: "limits", limits: "limits", quota: "limits", uninstall: "limits", retain: "limits",
  timeout: "lifecycle", rollback: "lifecycle", troubleshooting: "troubleshooting", "five jobs": "troubleshooting",
  schedule: "how-to/refresh-segments", filter: "how-to/filters-with-placeholders", KMS: "how-to/kms",
  permissions: "permissions", tags: "how-to/pipelines", pipeline: "how-to/pipelines", Athena: "how-to/query-segments",
  SQL: "how-to/query-segments", local: "local-aws", StackSets: "how-to/large-organizations",
};
const FIRST_RESULTS = 3;

// The pages of the results, when the search is finished.
const RESULTS = `new Promise((resolve) => {
  const look = () => document.querySelector(".search-summary")?.innerText
    ? resolve([...document.querySelectorAll("ul.search li > a")].map((link) => link.getAttribute("href")))
    : setTimeout(look, 20);
  look();
})`;

const VIOLATIONS = `axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
  violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target, html }) => target.join(" ") + "   " + html.slice(0, 120)) })))`;

const html = resolve(process.argv[2]);
const chromium = findChromium();
if (chromium) process.exitCode = await check(chromium);
else console.log("check-docs: SKIPPED: no Chromium in the PATH");

async function check(chromium) {
  const pages = readdirSync(html, { recursive: true }).filter((path) => path.endsWith(".html")).sort();
  const faults = [];
  const browser = new Browser(chromium);
  try {
    const tab = await browser.open();
    for (const [words, page] of Object.entries(SEARCHES)) faults.push(...(await faultsOfSearch(tab, words, page)));
    for (const page of pages) faults.push(...(await faultsOf(tab, page)));
  } finally {
    await browser.close();
  }
  for (const fault of faults) console.error(fault);
  const searches = Object.keys(SEARCHES).length;
  console.log(`check-docs: ${pages.length} pages, ${searches} searches, ${faults.length} faults`);
  return faults.length ? 1 : 0;
}

async function faultsOfSearch(tab, words, page) {
  await tab.goto(`${pathToFileURL(join(html, "search.html")).href}?q=${encodeURIComponent(words)}`);
  const found = (await tab.evaluate(RESULTS)).slice(0, FIRST_RESULTS);
  const isFound = found.some((href) => href.replace(/\.html(#.*)?$/, "") === page);
  return isFound ? [] : [`search for "${words}": got ${found.join(", ") || "nothing"}, expected ${page}.html`];
}

async function faultsOf(tab, page) {
  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const faults = [];
  await tab.goto(pathToFileURL(join(html, page)).href);
  await tab.evaluate(axe);
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      await tab.show(width, scheme);
      const where = `${page} (${width} px, ${scheme})`;
      const scrollWidth = await tab.evaluate("document.documentElement.scrollWidth");
      if (scrollWidth > width) faults.push(`${where}: scrolls sideways: it is ${scrollWidth} px wide`);
      for (const { id, help, nodes } of await tab.evaluate(VIOLATIONS)) {
        faults.push(`${where}: ${id}: ${help}\n  ${nodes.slice(0, 3).join("\n  ")}${nodes.length > 3 ? `\n  and ${nodes.length - 3} more` : ""}`);
      }
    }
  }
  return faults;
}
