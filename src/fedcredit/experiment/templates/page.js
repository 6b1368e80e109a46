"use strict";
(() => {
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  };
  const show = (mark) => {
    if (mark === shown) return;
    hide();
    shown = mark;
    mark.classList.add("on");
    tip.textContent = mark.dataset.told;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const width = tip.offsetWidth;
    const left = Math.min(Math.max(4, box.left + box.width / 2 - width / 2), document.documentElement.clientWidth - width - 4);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
  };
  const nearest = (svg, event) => {
    let best = null;
    let least = 28 * 28;
    for (const mark of svg.querySelectorAll("g:not(.off) > .m")) {
      const box = mark.getBoundingClientRect();
      const x = Math.max(box.left - event.clientX, 0, event.clientX - box.right);
      const y = Math.max(box.top - event.clientY, 0, event.clientY - box.bottom);
      if (x * x + y * y < least) {
        least = x * x + y * y;
        best = mark;
      }
    }
    return best;
  };
  for (const figure of document.querySelectorAll("figure")) {
    const svg = figure.querySelector("svg[role]");
    const point = (event) => {
      const mark = nearest(svg, event);
      if (mark) show(mark);
      else hide();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    for (const button of figure.querySelectorAll("button[data-series]")) {
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        for (const series of svg.querySelectorAll("g[data-series]")) {
          if (series.dataset.series === button.dataset.series) series.classList.toggle("off", !on);
        }
        hide();
      });
    }
  }
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
})();
