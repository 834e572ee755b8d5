// Before anything is painted, so that a kept choice does not flash.
try {
  const kept = localStorage.getItem("rl_es-theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
} catch (error) { /* storage may be refused to files */ }
