// Replays: the films of a run go together, by one button and one scrubber.
(() => {
  "use strict";
  for (const strip of document.querySelectorAll(".strip")) {
    const films = [...strip.querySelectorAll("video")];
    const [button, scrubber, clock] = strip.querySelector(".player").children;
    const name = button.getAttribute("aria-label").slice("Play".length);
    const duration = (film) => (Number.isFinite(film.duration) ? film.duration : 0);
    const longest = () => films.reduce((a, b) => (duration(b) > duration(a) ? b : a));
    let playing = false;

    function show() {
      const film = longest(), length = duration(film);
      scrubber.value = length ? Math.round((1000 * film.currentTime) / length) : 0;
      clock.textContent = `${film.currentTime.toFixed(1)} of ${length.toFixed(1)} s`;
      scrubber.setAttribute("aria-valuetext", clock.textContent);
    }

    function set(on) {
      playing = on;
      button.textContent = on ? "Pause" : "Play";
      button.setAttribute("aria-label", (on ? "Pause" : "Play") + name);
    }

    function seek(time) {
      for (const film of films) film.currentTime = Math.min(time, duration(film));
    }

    function follow() {
      if (!playing) return;
      show();
      if (longest().ended) set(false);
      else requestAnimationFrame(follow);
    }

    async function play() {
      if (longest().ended) seek(0);
      set(true);
      // A film that cannot be played leaves the others alone.
      const going = films.filter((film) => !film.ended && film.currentTime < (duration(film) || 1));
      const results = await Promise.allSettled(going.map((film) => film.play()));
      if (results.every((result) => result.status === "rejected")) return set(false);
      follow();
    }

    function pause() {
      set(false);
      for (const film of films) film.pause();
      seek(longest().currentTime);
    }

    button.addEventListener("click", () => (playing ? pause() : play()));
    scrubber.addEventListener("input", () => {
      if (playing) pause();
      seek((scrubber.value / 1000) * duration(longest()));
      show();
    });
    for (const film of films) {
      film.controls = false;
      film.addEventListener("loadedmetadata", show);
      film.addEventListener("seeked", () => playing || show());
      film.addEventListener("error", () => {
        film.classList.add("broken");
        film.nextElementSibling.append(" (cannot be played here)");
      });
    }
    strip.querySelector(".player").hidden = false;
    show();
  }
})();
