// The switch between light and dark, downloads, and what printing needs.
(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";

  function showTheme() {
    button.textContent = dark() ? "Light mode" : "Dark mode";
    document.dispatchEvent(new Event("theme"));
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("rl_es-theme", root.dataset.theme);
    } catch (error) { /* the choice then lasts as long as the page */ }
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();

  // A picture inside the page is its own download.
  for (const link of document.querySelectorAll("a.own")) {
    const picture = link.closest("figure").querySelector("img");
    if (picture.src.startsWith("data:")) link.href = picture.src;
  }

  // On paper: light, and nothing folded away.
  let before = null;
  addEventListener("beforeprint", () => {
    const folded = [...document.querySelectorAll("details:not([open])")];
    before = { theme: root.dataset.theme, folded };
    for (const details of folded) details.open = true;
    root.dataset.theme = "light";
    showTheme();
  });
  addEventListener("afterprint", () => {
    for (const details of before.folded) details.open = false;
    if (before.theme) root.dataset.theme = before.theme;
    else delete root.dataset.theme;
    showTheme();
  });
})();
