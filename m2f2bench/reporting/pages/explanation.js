(() => {
  const byId = (id) => document.getElementById(id);
  byId("filters").hidden = false;

  const place = byId("cards");
  const cards = [...place.children].map((element) => ({
    element, ...element.dataset, order: Number(element.dataset.order),
    values: JSON.parse(element.dataset.values || "{}"),
    text: element.querySelector(".words").textContent.toLowerCase(),
  }));
  const chosen = (id) => (byId(id) ? byId(id).value : "");
  const shows = (card) => {
    const region = chosen("f-region"), label = chosen("f-label"), what = chosen("f-show");
    if (region && card.region !== region.slice(1)) return false;
    if (label && card.label !== label) return false;
    if (what === "wrong" && !["wrong", "none"].includes(card.verdict)) return false;
    if (what === "right" && card.verdict !== "right") return false;
    if (what === "missing" && card.missing !== "yes") return false;
    return card.text.includes(chosen("f-text").trim().toLowerCase());
  };

  // Cards without a value or an answer come last in both orders of a metric.
  const value = (card, metric) => (card.missing === "yes" || !card.values[metric] ? NaN : Number(card.values[metric]));
  const before = (order, metric) => (a, b) => {
    const plan = a.order - b.order;
    if (order === "plan") return plan;
    if (order === "region") return a.region < b.region ? -1 : a.region > b.region ? 1 : plan;
    const x = value(a, metric), y = value(b, metric);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || plan;
    return (order === "up" ? x - y : y - x) || plan;
  };
  // The page begins with a few answers; a button shows all, and print has all.
  const FIRST = 6;
  const more = byId("more");
  let limit = cards.length > FIRST + 2 ? FIRST : Infinity;
  const draw = () => {
    const fitting = cards.filter(shows);
    fitting.sort(before(chosen("f-order"), chosen("f-metric")));
    const kept = new Set(fitting.slice(0, limit));
    for (const card of cards) card.element.hidden = !kept.has(card);
    place.append(...fitting.map((card) => card.element));
    const [n, m] = [kept.size, fitting.length];
    more.hidden = m <= n;
    more.textContent = `Show all ${m} answers`;
    byId("status").textContent = `${n} of ${cards.length} shown${m ? "" : ": no answer fits the filter; Reset shows all"}`;
  };
  const unfold = () => { limit = Infinity; draw(); };
  more.addEventListener("click", unfold);
  addEventListener("beforeprint", unfold);
  byId("filters").addEventListener("input", draw);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(draw));
  draw();
})();
