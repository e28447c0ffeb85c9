/* Refreshes the figures of the overview, and brings its tab into view on a narrow screen. The pages do without it. */
"use strict";

{
  const tabs = document.querySelector(".dripcache-tabs ul");
  const here = tabs?.querySelector("[aria-current]");
  if (here) {
    tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2;
  }
}

const bar = document.querySelector("[data-dripcache-live]");
if (bar) {
  const target = document.getElementById("dripcache-live");
  const banner = document.getElementById("dripcache-banner");
  const button = bar.querySelector("button");
  const said = bar.querySelector("[role=status]");
  const clock = bar.querySelector("time");
  const every = Number(bar.dataset.seconds) * 1000;
  let paused = false;
  let ended = false;
  let failed = false;
  let timer;

  const say = (text) => {
    if (said.textContent !== text) {
      said.textContent = text;
    }
  };

  const later = () => {
    clearTimeout(timer);
    if (!paused && !ended && !document.hidden) {
      timer = setTimeout(refresh, every);
    }
  };

  const put = (html) => {
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    const told = fresh.querySelector("[data-dripcache-at]");
    clock.textContent = told.dataset.dripcacheAt;
    if (banner.innerHTML.trim() !== told.innerHTML.trim()) {
      banner.innerHTML = told.innerHTML;
    }
    told.remove();
    for (const open of target.querySelectorAll("details[open]")) {
      const same = fresh.querySelector(`#${open.id}`);
      if (same) {
        same.open = true;
      }
    }
    const inside = target.contains(document.activeElement) ? document.activeElement.closest("[id]")?.id : null;
    const scrolled = [...target.querySelectorAll(".dripcache-scroll")].map((box) => box.scrollTop);
    target.replaceChildren(...fresh.childNodes);
    target.querySelectorAll(".dripcache-scroll").forEach((box, place) => {
      box.scrollTop = scrolled[place] || 0;
    });
    if (inside) {
      const again = document.getElementById(inside);
      (again?.querySelector("summary") || again)?.focus({ preventScroll: true });
    }
  };

  async function refresh() {
    try {
      const response = await fetch(bar.dataset.dripcacheLive, { credentials: "same-origin" });
      if (response.redirected || response.status === 403) {
        ended = true;
        bar.classList.add("failed");
        say(bar.dataset.ended);
        return;
      }
      if (!response.ok) {
        throw new Error(String(response.status));
      }
      put(await response.text());
      bar.classList.remove("failed");
      if (failed) {
        failed = false;
        say("");
      }
    } catch {
      failed = true;
      bar.classList.add("failed");
      say(bar.dataset.failed);
    } finally {
      later();
    }
  }

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    bar.classList.toggle("paused", paused);
    say(paused ? bar.dataset.paused : bar.dataset.resumed);
    if (paused) {
      clearTimeout(timer);
    } else {
      refresh();
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
    } else if (!paused && !ended) {
      refresh();
    }
  });

  bar.hidden = false;
  later();
}
