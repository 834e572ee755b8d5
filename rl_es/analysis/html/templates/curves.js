// Learning curves: a panel per environment, what is on and off, and the axis, by the switches.
(() => {
  "use strict";
  const source = document.getElementById("curves-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const switches = document.getElementById("switches");
  const panels = document.getElementById("panels");
  const probe = panels.appendChild(document.createElement("span"));
  probe.hidden = true;
  const LONGEST = 60;
  const NEAR = 0.5; // of the range of returns: the distance up to which a baseline is drawn

  // plotly reads some HTML in texts; what comes from the data is text.
  function plain(text) {
    const line = text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
    return line.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  const format = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const number = (value) => format.format(value).replace("-", "\u2212");

  function shade(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  function chosen() {
    const values = (name) =>
      [...switches.querySelectorAll(`input[name=${name}]:checked`)].map((box) => Number(box.value));
    return {
      labels: new Set(values("label")),
      environments: new Set(values("environment")),
      axis: values("axis")[0] ?? 0,
      seeds: values("seeds").length > 0,
      bands: values("bands").length > 0,
    };
  }

  function mean(curve, label, colour, axis) {
    const texts = curve.x.map((x, index) => {
      const bounded = curve.low[index] !== null;
      const bounds = bounded ? ` [${number(curve.low[index])}, ${number(curve.high[index])}]` : "";
      const text = `mean ${number(curve.mean[index])}${bounds}, n = ${curve.n}`;
      return `<b>${plain(label.name)}</b><br>${text}<br>at ${number(x)} ${axis}`;
    });
    return {
      x: curve.x, y: curve.mean, hovertext: texts, hoverinfo: "text", name: plain(label.name),
      mode: curve.x.length > 1 ? "lines+markers" : "markers",
      line: { color: colour, width: 2, dash: label.dash },
      marker: { symbol: label.symbol, size: 7, maxdisplayed: 5, color: colour,
        line: { width: 0.8, color: shade("--paper") } },
    };
  }

  function band(curve, colour) {
    const back = (values) => [...values].reverse();
    return {
      x: [...curve.x, ...back(curve.x)], y: [...curve.high, ...back(curve.low)],
      fill: "toself", mode: "none", fillcolor: colour, opacity: 0.16, hoverinfo: "skip",
    };
  }

  function single(seed, label, colour) {
    const why = seed.lost ? `, ${seed.status}: not in the mean` : "";
    const text = `${plain(label.name)}, seed ${seed.seed}${why}`;
    const symbols = seed.x.map((_, index) => (seed.lost && index === seed.x.length - 1 ? 8 : 0));
    return {
      x: seed.x, y: seed.y, hoverinfo: "text", opacity: 0.75,
      hovertext: seed.y.map((value) => `${text}<br>return ${number(value)}`),
      mode: seed.lost ? "lines+markers" : "lines", line: { color: colour, width: 0.9 },
      marker: { symbol: "x-thin", size: symbols, color: colour, line: { width: 1.5, color: colour } },
    };
  }

  function traces(environment, state) {
    const curves = environment.curves[state.axis].filter((curve) => state.labels.has(curve.label));
    const below = [], lines = [], seeds = [];
    for (const curve of curves) {
      const label = data.labels[curve.label];
      const colour = label.colour === "#000000" ? shade("--black") : label.colour;
      if (state.bands && curve.low.length > 1 && curve.low[0] !== null) below.push(band(curve, colour));
      for (const seed of curve.seeds) {
        if (seed.lost || state.seeds) seeds.push(single(seed, label, colour));
      }
      if (curve.x.length) lines.push(mean(curve, label, colour, data.axes[state.axis].title));
    }
    const drawn = [...below, ...seeds, ...lines];
    return [...baselines(environment, drawn), ...drawn];
  }

  // Lines with names; one far from all returns would leave them little of the panel.
  function baselines(environment, drawn) {
    const values = drawn.flatMap((trace) => trace.y).filter((y) => y !== null);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const reach = NEAR * (high - low), end = furthest(drawn) * 1.02;
    const near = environment.baselines.filter(({ y }) => y >= low - reach && y <= high + reach);
    return near.map(({ name, y }) => ({
      x: [0, end], y: [y, y], mode: "lines+text", text: ["", plain(name)], textposition: "top left",
      textfont: { size: 10, color: shade("--dim") }, hoverinfo: "text",
      hovertext: `${plain(name)}<br>${number(y)}`,
      line: { color: shade("--dim"), width: 1, dash: "dot" },
    }));
  }

  function furthest(lines) {
    return lines.reduce((most, trace) => trace.x.reduce((a, b) => Math.max(a, b), most), 0) || 1;
  }

  function layout(environment, state, lines) {
    const ink = shade("--ink"), grid = shade("--grid");
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true,
      exponentformat: "SI", ticks: "outside", tickcolor: grid, title: { standoff: 8 } };
    return {
      autosize: true, showlegend: false, hovermode: "closest",
      paper_bgcolor: shade("--paper"), plot_bgcolor: shade("--paper"),
      modebar: { bgcolor: shade("--paper"), color: shade("--dim"), activecolor: ink },
      font: { family: "system-ui, sans-serif", size: 12, color: ink },
      margin: { l: 52, r: 12, t: 8, b: 44 },
      // A finger that drags scrolls the page.
      dragmode: finger ? false : "zoom",
      uirevision: state.axis,
      xaxis: { ...axis, range: [0, furthest(lines) * 1.02], nticks: 6,
        title: { text: data.axes[state.axis].title, standoff: 8 } },
      yaxis: { ...axis, nticks: 7, title: { text: plain(environment.return), standoff: 4 } },
      shapes: environment.thresholds.map((y) => ({ type: "line", xref: "paper", x0: 0, x1: 1,
        y0: y, y1: y, layer: "below", line: { color: shade("--dim"), width: 1, dash: "dot" } })),
    };
  }

  const finger = matchMedia("(pointer: coarse)").matches;
  // plotly would otherwise offer to send the data to its makers' server.
  const config = { displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    displayModeBar: finger ? false : "hover", scrollZoom: false,
    toImageButtonOptions: { filename: "learning_curve", scale: 2 },
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  function panel(index) {
    const environment = data.environments[index];
    const box = document.createElement("div");
    box.className = "panel";
    box.dataset.environment = index;
    const title = box.appendChild(document.createElement("h3"));
    title.textContent = environment.name;
    const plot = box.appendChild(document.createElement("div"));
    plot.className = "plot";
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", `Learning curves of ${environment.name}`);
    return box;
  }

  const boxes = data.environments.map((_, index) => panel(index));

  // A panel is as wide as the others leave it.
  const sizes = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const ready = target._fullLayout && target.isConnected;
      if (ready && Math.abs(target._fullLayout.width - contentRect.width) > 1) {
        Plotly.Plots.resize(target);
      }
    }
  });
  for (const box of boxes) sizes.observe(box.lastChild);

  function draw() {
    const state = chosen();
    panels.replaceChildren(probe, ...boxes.filter((_, index) => state.environments.has(index)));
    for (const index of state.environments) {
      const lines = traces(data.environments[index], state);
      const frame = layout(data.environments[index], state, lines);
      Plotly.react(boxes[index].lastChild, lines, frame, config);
    }
  }

  switches.addEventListener("change", draw);
  switches.addEventListener("submit", (event) => event.preventDefault());
  switches.addEventListener("click", (event) => {
    const { all, none } = event.target.dataset;
    if (!all && !none) return;
    for (const box of switches.querySelectorAll(`input[name=${all || none}]`)) box.checked = !!all;
    draw();
  });
  document.addEventListener("theme", draw);
  draw();
})();
