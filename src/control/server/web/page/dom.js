// Elements. All text goes in as text: nothing that a pipeline says becomes markup, or changes how the text around it is shown.

// Control characters, and those that hide or turn the direction of a text, as in `text.rs`.
const RISKY = /(?![\n\t])[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu;
const visible = (text) => String(text).replace(RISKY, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  const shown = children.filter((child) => child !== null && child !== undefined && child !== false);
  made.append(...shown.map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

// What is the same stays: a screen reader says nothing anew, and a selection is kept.
export function say(where, text) {
  const shown = visible(text);
  if (where.textContent !== shown) where.textContent = shown;
}

// Text that is selected is about to be copied: it stays as it is meanwhile.
export function isSelected(where) {
  const selection = getSelection();
  return Boolean(selection) && !selection.isCollapsed && where.contains(selection.anchorNode);
}

export function set(where, name, value) {
  if (value === null) where.removeAttribute(name);
  else if (where.getAttribute(name) !== String(value)) where.setAttribute(name, value);
}

// New elements in the place of old ones. What has the same `data-act` has the focus still, and is scrolled to the same place.
export function renew(where, ...children) {
  const all = () => [...where.querySelectorAll("[data-act]")];
  const focused = where.contains(document.activeElement) && document.activeElement.dataset.act;
  const scrolled = new Map(all().filter((one) => one.scrollTop).map((one) => [one.dataset.act, one.scrollTop]));
  where.replaceChildren(...children);
  for (const one of all()) {
    if (scrolled.has(one.dataset.act)) one.scrollTop = scrolled.get(one.dataset.act);
    if (one.dataset.act === focused) one.focus({ preventScroll: true });
  }
}

export const byId = (id) => document.getElementById(id);

// With roles, which a table keeps when the styles make blocks of it.
export function table(caption, heads, rows) {
  const head = heads.map((text) => element("th", { scope: "col", role: "columnheader" }, text));
  const lines = rows.map((cells) => element("tr", { role: "row" }, ...cells.map((cell, n) => element("td", { role: "cell", "data-head": heads[n] }, cell))));
  const body = element("table", { role: "table", class: heads.length > 5 && "many" }, element("caption", {}, caption), element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)), element("tbody", { role: "rowgroup" }, ...lines));
  return element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption }, body);
}
