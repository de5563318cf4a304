// Touching the document: text only ever as text, and only where it has changed, so that nothing flickers.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value == null || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

export function show(node, shown) {
  if (node.hidden === shown) node.hidden = !shown;
}

// Make the children of `parent` those of `items`, in that order, keeping the node of each key: focus and selection stay. Of
// items with one key each after the first gets a node of its own, which is not kept.
export function reconcile(parent, items, key, make, update) {
  const have = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const placed = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let node = have.get(name);
    if (node) have.delete(name);
    else {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    placed.add(node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of [...parent.children]) if (!placed.has(node)) node.remove();
}

// A word with a sign before it: what it means never hangs on its colour alone.
const SIGNS = { ok: "●", warning: "▲", critical: "■", off: "○" };

export function badge(level, text) {
  return el("span", { class: `badge ${level}` }, el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[level]), text);
}

export function setBadge(node, level, text) {
  if (node.dataset.badge === `${level} ${text}`) return;
  node.dataset.badge = `${level} ${text}`;
  node.replaceChildren(badge(level, text));
}

// Unknown values are read out as a word, not as a dash.
export function setValue(node, text) {
  if (text !== "–") setText(node, text);
  else if (node.dataset.value !== "–") {
    node.replaceChildren(
      el("span", { "aria-hidden": "true" }, "–"),
      el("span", { class: "unseen" }, "unknown"),
    );
  }
  node.dataset.value = text;
}
