// Before anything is painted, so that a stored choice does not flash.
try {
  const stored = localStorage.getItem("rl_es-theme");
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
} catch (error) { /* storage may be refused to files */ }
