// A table that can be sorted and filtered, and that keeps its rows' nodes from one reading to the next.
//
// Roles are written out because the narrow layout (style.css) shows rows as cards, which takes a table's own roles away.

import { byName } from "./format.js";
import { el, reconcile, setAttribute, setText, show } from "./dom.js";

export const PAGE = 200; // rows that are shown at once; more on request

// Compare two values of one column; unknown ones stand last whatever the direction.
export function compare(a, b, descending) {
  if (a == null || b == null) return a == null && b == null ? 0 : a == null ? 1 : -1;
  const order = typeof a === "string" ? byName(a, b) : a - b;
  return descending ? -order : order;
}

// Sort by a column, then by the fallbacks ([column, descending] each), stable.
export function sorted(rows, orders) {
  return [...rows].sort((a, b) => {
    for (const [column, descending] of orders) {
      const order = compare(column.value(a), column.value(b), descending);
      if (order !== 0) return order;
    }
    return 0;
  });
}

export class Table {
  // columns: {id, label, value(row), render(cell, row), numeric, header, descending (first direction), wide}
  // key(row) names a row for ever; text(row) is what the filter searches; order is [[id, descending], …] at the start.
  constructor({ table, filter, status, more, columns, key, text, order, noun }) {
    Object.assign(this, { table, filter, status, more, columns, key, text, noun });
    this.rows = [];
    this.limit = PAGE;
    const find = (id) => columns.find((column) => column.id === id);
    this.fallback = order.map(([id, descending]) => [find(id), descending]);
    [this.order] = this.fallback;
    this.#head();
    this.body = el("tbody", { role: "rowgroup" });
    table.append(this.body);
    filter.addEventListener("input", () => this.render());
    more.addEventListener("click", () => {
      this.limit += PAGE;
      this.render();
    });
  }

  #head() {
    const row = el("tr", { role: "row" });
    for (const column of this.columns) {
      const button = el("button", { type: "button" }, column.label, el("span", { class: "arrow", "aria-hidden": "true" }));
      button.addEventListener("click", () => this.#sort(column));
      column.cell = el("th", { scope: "col", role: "columnheader", class: column.numeric ? "number" : null }, button);
      row.append(column.cell);
    }
    this.table.append(el("thead", { role: "rowgroup" }, row));
  }

  #sort(column) {
    const again = this.order[0] === column;
    this.order = [column, again ? !this.order[1] : Boolean(column.descending)];
    this.render();
  }

  #make() {
    const row = el("tr", { role: "row" });
    for (const column of this.columns) {
      const attributes = { class: `${column.id}${column.numeric ? " number" : ""}`, "data-label": column.label };
      row.append(
        column.header
          ? el("th", { scope: "row", role: "rowheader", ...attributes })
          : el("td", { role: "cell", ...attributes }),
      );
    }
    return row;
  }

  update(rows) {
    this.rows = rows;
    this.render();
  }

  render() {
    for (const column of this.columns) {
      const active = this.order[0] === column;
      setAttribute(column.cell, "aria-sort", active ? (this.order[1] ? "descending" : "ascending") : null);
    }
    const wanted = this.filter.value.trim().toLowerCase();
    const matching = wanted ? this.rows.filter((row) => this.text(row).toLowerCase().includes(wanted)) : this.rows;
    const shown = sorted(matching, [this.order, ...this.fallback]).slice(0, this.limit);
    reconcile(
      this.body,
      shown,
      this.key,
      () => this.#make(),
      (node, row) => this.columns.forEach((column, index) => column.render(node.children[index], row)),
    );
    setText(this.status, this.#summary(matching.length, shown.length, wanted));
    show(this.more, matching.length > shown.length);
  }

  #summary(matching, shown, wanted) {
    const [one, many] = this.noun;
    if (this.rows.length === 0) return `No ${many}.`;
    if (matching === 0) return `None of ${this.rows.length} ${many} matches “${wanted}”.`;
    const all = `${matching} ${matching === 1 ? one : many}`;
    const cut = shown < matching ? `${all}, ${shown} of them shown` : all;
    return wanted ? `${cut}, of ${this.rows.length}` : cut;
  }
}
