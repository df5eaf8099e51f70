// A reload: what it would change, then the change.
import { isReadOnly, post } from "./api.js";
import { element } from "./dom.js";

// Refusals that are about the file.
const OF_FILE = ["bad-file", "file-refused"];

export class ReloadView {
  constructor(act) {
    this.body = element("div", { class: "view" }, element("p", {}, "reading the file …"));
    this.act = act;
    this.plan();
  }

  async plan() {
    if (isReadOnly()) return this.body.replaceChildren(element("p", {}, "This page is for looking only. What a reload would change is shown on a page that `mprun open` opens without --read-only."));
    const again = element("button", { type: "button", onclick: () => this.plan() }, "Look again");
    try {
      const { steps } = await post("/v1/plan");
      const apply = element("button", { type: "button", class: "main", disabled: isReadOnly(), onclick: () => this.apply() }, "Apply");
      const list = element("ol", { class: "steps" }, ...steps.map((step) => element("li", {}, step)));
      this.body.replaceChildren(
        element("p", { class: "lead" }, steps.length ? "The pipeline file would change this:" : "The pipeline file is what runs: nothing to do."),
        list, element("div", { class: "buttons" }, steps.length > 0 && apply, again));
    } catch (error) {
      this.body.replaceChildren(element("p", { class: "lead", "data-state": "bad" }, OF_FILE.includes(error.reason) ? "The file can't be used:" : "What it would change is not known:"), element("pre", { tabindex: 0, "aria-label": "Faults" }, error.message), element("div", { class: "buttons" }, again));
    }
  }

  async apply() {
    await this.act("/v1/reload", { wait: true });
    this.plan();
  }

  update() {}
  close() {}
}
