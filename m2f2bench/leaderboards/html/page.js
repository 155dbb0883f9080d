(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  for (const id of ["filters", "hint", "chart-tools"]) if (byId(id)) byId(id).hidden = false;
  for (const words of all(".hover")) words.hidden = false;
  root.classList.add("scripted");

  const MOST_CELLS = 1000;

  // Tables. A row's children and `heads` run parallel.
  const tables = all("table.scores").map((element) => {
    const [top, bottom] = element.tHead.rows;
    const heads = [...all("th[rowspan]", top), ...bottom.cells];
    const rows = all("tr.row", element).map((tr, place) => ({
      tr, place, cells: [...tr.children], name: one("th", tr).dataset.v.toLowerCase(),
      trained: JSON.parse(tr.dataset.trained), control: "control" in tr.dataset,
    }));
    const page = Math.max(25, Math.floor(MOST_CELLS / heads.length));
    return { element, heads, rows, order: [...rows], placed: null, limit: rows.length > 1.5 * page ? page : Infinity,
      groups: all("th.group", top), body: element.tBodies[0], seps: all("tr.sep", element) };
  });

  // Shows the rows that pass the filter, in order, up to the table's limit: the layout of thousands of cells is slow.
  const unroll = (table) => {
    const passing = table.order.filter((row) => !row.off);
    const count = passing.length;
    const shown = new Set(passing.slice(0, table.limit));
    for (const row of table.order) row.tr.hidden = !shown.has(row);
    const firsts = table.seps.map((sep) => [...shown].find((row) => (sep.dataset.of === "control" ? row.control
      : table.byRank && !row.control && !row.cells[0].dataset.v)));
    table.seps.forEach((sep, i) => { sep.hidden = !firsts[i]; });
    if (table.placed !== table.order || table.limit < Infinity) {
      const rows = table.limit < Infinity ? [...shown] : table.order;
      table.body.prepend(...rows.map((row) => row.tr));
      table.placed = table.order;
    }
    table.seps.forEach((sep, i) => firsts[i]?.tr.before(sep));
    if (!table.more && table.limit < Infinity) {
      table.more = document.createElement("button");
      table.more.type = "button";
      table.more.className = "more";
      table.more.addEventListener("click", () => { table.limit = Infinity; table.placed = null; unroll(table); });
      table.element.closest(".scroll").after(table.more);
    }
    if (table.more) {
      table.more.hidden = count <= table.limit;
      table.more.textContent = `${table.limit} of ${count} rows shown: show all`;
    }
  };

  const key = (cell, kind) => {
    const value = cell.dataset.v;
    if (value === undefined || value === "" || cell.classList.contains("out")) return null;
    return kind === "number" ? Number(value) : value.toLowerCase();
  };
  const sort = (table, head, direction) => {
    const { kind } = one(".sort", head).dataset;
    const at = table.heads.indexOf(head);
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = table.rows.map((row) => [key(row.cells[at], kind), row]);
    // Controls stay below. Missing values come last in both directions; equal ones keep the board's order.
    keyed.sort(([a, p], [b, q]) => p.control - q.control || (a === null || b === null ? (a === null) - (b === null)
      : sign * (a < b ? -1 : Number(a > b))) || p.place - q.place);
    for (const other of table.heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    table.byRank = head.classList.contains("rank") && direction === "ascending";
    table.order = keyed.map(([, row]) => row);
    unroll(table);
    table.sorted = [head, direction];
  };
  const say = (text) => { byId("status").textContent = text; };
  for (const table of tables) {
    for (const head of table.heads) {
      one(".sort", head).addEventListener("click", (event) => {
        const first = event.currentTarget.dataset.order === "up" ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const direction = head.getAttribute("aria-sort") === first ? other : first;
        sort(table, head, direction);
        hide();
        const worst = direction !== first && event.currentTarget.dataset.kind === "number" ? ", worst first" : "";
        say(`Sorted by ${head.dataset.full || event.currentTarget.textContent}, ${direction}${worst}.`);
      });
    }
  }

  const fits = (row, name, trained) => row.name.includes(name)
    && (!trained || (trained === "-" ? !row.trained.length : row.trained.includes(trained.slice(1))));
  // Hides cells of other columns and empties those of the other domain; returns how many numbers remain in the row.
  const mask = (cells, columns, domain) => {
    let left = 0;
    cells.forEach((cell, i) => {
      const kind = cell.dataset.d;
      if (!kind) return;
      if (cell.hidden === columns[i]) cell.hidden = !columns[i];
      const out = Boolean(domain) && kind !== domain;
      if (cell.classList.contains("out") !== out) cell.classList.toggle("out", out);
      left += columns[i] && !out;
    });
    return left;
  };
  const filter = () => {
    const name = byId("f-name").value.trim().toLowerCase();
    const trained = byId("f-trained").value;
    const dataset = byId("f-dataset").value;
    const domain = byId("f-domain").value;
    const shown = (head) => !dataset || head.dataset.dataset === undefined || head.dataset.dataset === dataset.slice(1);
    for (const table of tables) {
      table.element.classList.toggle("noci", !byId("f-ci").checked);
      const changed = table.dataset !== dataset || table.domain !== domain;
      const columns = table.heads.map(shown);
      table.heads.forEach((head, i) => { head.hidden = !columns[i]; });
      for (const head of table.groups) head.hidden = !shown(head);
      for (const row of table.rows) {
        if (changed) row.left = mask(row.cells, columns, domain);
        row.off = !fits(row, name, trained) || (Boolean(domain) && !row.left);
      }
      // Numbers that the filter removes from a column count as missing there.
      if (domain !== table.domain && table.sorted) sort(table, ...table.sorted);
      else unroll(table);
      Object.assign(table, { dataset, domain });
    }
    for (const figure of all("figure[data-dataset]")) figure.hidden = !shown(figure);
    hide();
    const { rows, heads } = tables[0];
    const places = heads.filter((head) => head.dataset.full !== undefined);
    const visible = [rows.filter((row) => !row.off).length, places.filter((head) => !head.hidden).length];
    say(`${visible[0]} of ${rows.length} detectors, ${visible[1]} of ${places.length} columns shown.`);
  };
  for (const table of tables) { Object.assign(table, { byRank: true, dataset: "", domain: "" }); unroll(table); }
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));

  // The signature of a number, in a box next to it.
  const tip = byId("tip");
  let cellOf = null;
  let pinned = false;
  let timer = 0;
  const added = (tag, text, className) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    tip.append(made);
    return made;
  };
  const hide = () => {
    clearTimeout(timer);
    if (cellOf) cellOf.removeAttribute("aria-describedby");
    cellOf = null;
    pinned = false;
    tip.hidden = true;
  };
  const place = () => {
    if (!cellOf) return;
    const box = cellOf.getBoundingClientRect();
    const [edge, gap] = [8, 4];
    const [width, height] = [root.clientWidth, window.innerHeight];
    if (box.bottom < 0 || box.top > height || box.width === 0) { hide(); return; }
    tip.style.maxHeight = `${height - 2 * edge}px`;
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    const clamp = (at, size, room) => Math.max(edge, Math.min(at, room - edge - size));
    const put = (x, y) => { tip.style.left = `${x}px`; tip.style.top = `${clamp(y, high, height)}px`; };
    // Next to the number, so that the numbers above and below it stay visible; else below or above it.
    if (box.right + gap + wide <= width - edge) { put(box.right + gap, box.top); return; }
    if (box.left - gap - wide >= edge) { put(box.left - gap - wide, box.top); return; }
    const [above, below] = [box.top - gap - edge, height - edge - box.bottom - gap];
    const down = high <= below || below >= above;
    tip.style.maxHeight = `${Math.max(down ? below : above, 120)}px`;
    tip.style.left = `${clamp(box.left, wide, width)}px`;
    tip.style.top = `${clamp(down ? box.bottom + gap : box.top - gap - tip.offsetHeight, tip.offsetHeight, height)}px`;
  };
  const show = (cell) => {
    clearTimeout(timer);
    if (cell === cellOf) return;
    hide();
    const table = tables.find(({ element }) => element.contains(cell));
    const row = cell.closest("tr");
    const head = table.heads[[...row.children].indexOf(cell)];
    tip.replaceChildren();
    added("p", `${one(".name", row).textContent}, ${head.dataset.full}`);
    if (cell.classList.contains("missing")) {
      added("p", "No result.", "value");
    } else {
      const text = (selector) => one(selector, cell)?.textContent ?? "";
      const parts = [`${text(".v")} ${text(".ci")}`.trim(), `${cell.dataset.n || head.dataset.n} units (real+fake)`];
      parts.push(cell.dataset.d === "in" ? "in-domain" : "");
      added("p", parts.filter(Boolean).join(", "), "value");
      const more = [text(".why"), text(".cov")];
      if (cell.dataset.note) more.push(one("span", byId(`note-${cell.dataset.note}`)).textContent);
      for (const line of more.filter(Boolean)) added("p", line);
      const ids = cell.dataset.s ? [cell.dataset.s] : [head.dataset.m, row.dataset.by];
      const sources = ids.filter(Boolean).map(byId);
      const fields = added("dl", "");
      for (const source of sources) fields.append(...all("dl > div", source).map((field) => field.cloneNode(true)));
      added("code", sources.map((source) => one("code", source).textContent).join("|"));
    }
    cellOf = cell;
    cell.setAttribute("aria-describedby", "tip");
    tip.hidden = false;
    tip.scrollTop = 0;
    place();
  };
  const numberAt = (target) => (target instanceof Element ? target.closest("table.scores td[data-d]:not(.out)") : null);
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse" || pinned) return;
    const cell = numberAt(event.target);
    if (cell) show(cell);
    else if (tip.contains(event.target)) clearTimeout(timer);
    else if (cellOf && cellOf !== document.activeElement) { clearTimeout(timer); timer = setTimeout(hide, 250); }
  });
  document.addEventListener("click", (event) => {
    if (tip.contains(event.target)) return;
    const cell = numberAt(event.target);
    if (!cell) { hide(); return; }
    go(cell);
    show(cell);
    pinned = true;
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  const scrolled = (event) => { if (event.target !== tip) place(); };
  document.addEventListener("scroll", scrolled, { capture: true, passive: true });
  addEventListener("resize", place);

  // Tab reaches one number of each table; the arrow keys lead to the others.
  const go = (cell) => {
    const others = all("td[tabindex]", cell.closest("table")).filter((other) => other !== cell);
    for (const other of others) other.removeAttribute("tabindex");
    cell.tabIndex = 0;
    cell.focus({ preventScroll: cell === cellOf });
  };
  const visible = (element) => element && !element.hidden && !element.closest("[hidden]");
  for (const { element, rows } of tables) {
    const first = rows.length && one("td[data-d]", rows[0].tr);
    if (first) first.tabIndex = 0;
    element.addEventListener("focusin", (event) => {
      const cell = numberAt(event.target);
      if (cell) { pinned = false; show(cell); }
    });
    element.addEventListener("focusout", (event) => { if (numberAt(event.target) && !pinned) hide(); });
    element.addEventListener("keydown", (event) => {
      const cell = event.target;
      if (!cell.matches("td[data-d]")) return;
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      let row = cell.parentElement;
      let next = cell;
      if (step[1]) {
        do next = step[1] > 0 ? next.nextElementSibling : next.previousElementSibling; while (next && next.hidden);
      } else {
        const at = cell.cellIndex;
        do row = step[0] > 0 ? row.nextElementSibling : row.previousElementSibling;
        while (row && (row.hidden || row.classList.contains("sep")));
        next = row && row.cells[at];
      }
      if (visible(next) && next.matches("td[data-d]")) go(next);
    });
  }

  // Charts: detectors on and off, and the logarithmic axis.
  const boxes = all(".legend input[data-k]");
  const draw = () => {
    const on = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.k));
    for (const part of all("g[data-k], .aucs [data-k]")) part.toggleAttribute("data-off", !on.has(part.dataset.k));
  };
  const CROWD = 12;
  boxes.forEach((box, i) => {
    box.hidden = false;
    box.checked = i < CROWD;
    box.addEventListener("change", draw);
  });
  for (const [id, state] of [["all", true], ["none", false]]) {
    byId(id)?.addEventListener("click", () => { for (const box of boxes) box.checked = state; draw(); });
  }
  if (boxes.length > CROWD) { one("span", byId("crowd")).textContent = CROWD; byId("crowd").hidden = false; }
  draw();

  const linear = new WeakMap();
  const bend = (svg, log) => {
    const [left, size, decades] = svg.dataset.roc.split(" ").map(Number);
    const to = (x) => left + size * Math.max(0, x > left ? 1 + Math.log10((x - left) / size) / decades : 0);
    const back = (x) => left + size * 10 ** (((x - left) / size - 1) * decades);
    for (const line of all(".curve polyline", svg)) {
      if (!linear.has(line)) linear.set(line, line.getAttribute("points"));
      if (!log) { line.setAttribute("points", linear.get(line)); continue; }
      const points = linear.get(line).split(" ").map((point) => point.split(",").map(Number));
      const bent = [];
      points.forEach(([x, y], i) => {
        // A straight line of the curve is bent on this axis: it is drawn in steps of at most 4 units.
        const [x0, y0] = points[Math.max(i - 1, 0)];
        const steps = Math.max(1, Math.ceil((to(x) - to(x0)) / 4));
        for (let k = 1; k < steps; k++) {
          const at = to(x0) + ((to(x) - to(x0)) * k) / steps;
          bent.push(`${at.toFixed(1)},${(y0 + ((y - y0) * (back(at) - x0)) / (x - x0)).toFixed(1)}`);
        }
        bent.push(`${to(x).toFixed(1)},${y}`);
      });
      line.setAttribute("points", bent.join(" "));
    }
    for (const mark of all(".curve use", svg)) {
      if (!linear.has(mark)) linear.set(mark, mark.getAttribute("x"));
      const x = log ? to(Number(linear.get(mark))) : Number(linear.get(mark));
      mark.setAttribute("x", x.toFixed(1));
      mark.setAttribute("visibility", log && x <= left ? "hidden" : "inherit");
    }
    svg.classList.toggle("logx", log);
  };
  byId("log")?.addEventListener("change", (event) => {
    for (const svg of all("svg.roc")) bend(svg, event.target.checked);
  });

  // A link to a signature opens it; in print all are open.
  const open = () => {
    const target = byId(location.hash.slice(1));
    if (target?.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();
  addEventListener("beforeprint", () => {
    for (const table of tables) {
      Object.assign(table, { limit: Infinity, placed: null });
      unroll(table);
    }
    for (const part of all("details")) part.open = true;
  });
})();
