// Adds what assistive technology needs and the theme leaves out. `make docs-check` finds what is missing.

const set = (selector, attributes) => {
  for (const element of document.querySelectorAll(selector)) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  }
};

set("aside.sidebar-drawer", { "aria-label": "Site" });
set("aside.toc-drawer", { "aria-label": "On this page" });
set(".caption[role=heading]", { "aria-level": "2" });
// The parameters of a long signature are a <dl> without terms, which is not a list.
for (const element of document.querySelectorAll("dt.sig dl, dt.sig dd")) {
  const block = document.createElement("div");
  block.className = element.localName === "dd" ? "sig-line" : "sig-lines";
  block.append(...element.childNodes);
  element.replaceWith(block);
}
// The keyboard scrolls only what it can focus.
set(".table-wrapper, .highlight pre", { tabindex: "0" });
