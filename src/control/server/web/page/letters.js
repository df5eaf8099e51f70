// Dead letters: by stage and cause; shown, tried again, or dropped.
import { get, isReadOnly, post } from "./api.js";
import { element } from "./dom.js";
import { bytes, counted, moment, number } from "./words.js";

const BATCH = 500;

export class LettersView {
  constructor(confirm, answer, machines) {
    this.machines = machines;
    this.confirm = confirm;
    this.answer = answer;
    this.body = element("div", { class: "view" });
    this.count = null;
    this.open = null;
  }

  update(snapshot) {
    this.file = snapshot.file;
    const count = `${snapshot.letters.letters} ${snapshot.letters.bytes} ${this.machines.letters()} ${snapshot.run}`;
    if (count === this.count || this.busy) return;
    this.count = count;
    this.show();
  }

  async show() {
    const groups = await get("/v1/dead/groups").catch((error) => this.answer(error.message));
    if (!groups) return;
    const focused = document.activeElement?.dataset?.act;
    const shared = this.machines.letters();
    const list = groups.length && element("ul", { class: "groups" }, ...await Promise.all(groups.map((group) => this.group(group))));
    const elsewhere = shared > 0 && element("p", {}, `${counted(shared, "dead letter")} of shared queues in the broker: mprun dead list --shared ${this.file}`);
    this.body.replaceChildren(...[elsewhere, list].filter(Boolean));
    if (!list && !elsewhere) this.body.replaceChildren(element("p", {}, "There are no dead letters."));
    if (focused) [...this.body.querySelectorAll("button")].find((one) => one.dataset.act === focused)?.focus();
  }

  async group(group) {
    const what = `${counted(group.letters, "letter")} of ${group.stage}`;
    const button = (label, act, more = {}) => element("button", { type: "button", "data-act": `${label} ${group.group}`, "aria-label": `${label} ${what}: ${group.cause}`, onclick: act, ...more }, label);
    const isOpen = this.open === group.group;
    const toggle = () => { this.open = isOpen ? null : group.group; this.show(); };
    return element("li", {},
      element("p", { class: "lead" }, element("b", {}, what), ` ${group.cause}`),
      element("p", { class: "hint" }, `${moment(group.first)} – ${moment(group.last)}`),
      element("div", { class: "buttons" },
        button(isOpen ? "Hide" : "Show", toggle, { "aria-expanded": String(isOpen) }),
        button("Retry", () => this.each(group, "retry"), { disabled: isReadOnly() }),
        button("Drop …", async () => await this.confirm(`Drop ${what} for good? Their items are gone then.`) && this.each(group, "drop"), { disabled: isReadOnly(), class: "danger" })),
      isOpen && element("ul", { class: "letters" }, ...await this.letters(group)));
  }

  async letters(group) {
    const letters = await get(`/v1/dead?group=${group.group}&most=20`).catch(() => []);
    return letters.map((letter) => element("li", {},
      element("p", { class: "hint" }, `Line ${letter.line}, ${moment(letter.time)}, from ${letter.queue || "no queue"}, tried ${letter.attempts === 1 ? "once" : `${letter.attempts} times`}, ${bytes(letter.bytes)}`),
      element("pre", { tabindex: 0, "aria-label": "Item" }, letter.item.slice(0, 4096) + (letter.bytes > 4096 ? " …" : "")),
      letter.stderr.length > 0 && element("pre", { class: "words", tabindex: 0, "aria-label": "Last words" }, letter.stderr.join("\n"))));
  }

  // A few hundred at a time, until none of the group is left that this can move.
  async each(group, what) {
    this.busy = true;
    let [done, note] = [0, ""];
    try {
      for (;;) {
        const keys = (await get(`/v1/dead?group=${group.group}&keys=true&most=${BATCH}`)).map((letter) => letter.key);
        if (!keys.length) break;
        const said = await post(`/v1/dead/${what}`, { keys });
        const moved = what === "retry" ? said.put : keys.length;
        done += moved;
        if (!moved || said.refused?.length) { note = `; ${said.refused?.[0] ?? "the rest stays"}`; break; }
      }
      this.answer(`${number(done)} ${what === "retry" ? "put back" : "dropped"}${note}`);
    } catch (error) {
      this.answer(error.message);
    }
    this.busy = false;
    this.show();
  }

  close() {}
}
