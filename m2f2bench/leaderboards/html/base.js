"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  button.hidden = false;

  // Dark or light: as the system, until the user chooses. Some browsers store nothing for local files.
  const kept = { get: () => { try { return localStorage.getItem("m2f2bench-theme"); } catch { return null; } },
    set: (name) => { try { localStorage.setItem("m2f2bench-theme", name); } catch { /* only for this page */ } } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => button.setAttribute("aria-pressed", String(dark()));
  if (["dark", "light"].includes(kept.get())) root.dataset.theme = kept.get();
  system.addEventListener("change", showTheme);
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    kept.set(root.dataset.theme);
    showTheme();
  });
  showTheme();
})();
