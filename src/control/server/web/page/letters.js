// Dead letters: by stage and cause; shown, tried again, or dropped.
import { get, isReadOnly, post } from "./api.js";
import { element, isSelected, renew } from "./dom.js";
import { bytes, counted, moment, number, quoted } from "./words.js";

const BATCH = 500;
// As many as the server names at once, of letters and of groups.
const [MOST_KEYS, MOST_GROUPS] = [20_000, 1000];

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
    this.total = snapshot.letters.letters;
    const count = `${snapshot.letters.letters} ${snapshot.letters.bytes} ${this.machines.letters()} ${snapshot.run}`;
    if (count === this.count || this.busy || this.isLoading || isSelected(this.body)) return;
    this.count = count;
    this.show();
  }

  // While one answer is on its way, no other one is asked for.
  async show() {
    this.isLoading = true;
    await this.draw().finally(() => { this.isLoading = false; });
  }

  async draw() {
    const groups = await get("/v1/dead/groups").catch((error) => this.answer(error.message));
    if (!groups) return;
    const shared = this.machines.letters();
    const list = groups.length && element("ul", { class: "groups" }, ...await Promise.all(groups.map((group) => this.group(group))));
    const elsewhere = shared > 0 && element("p", {}, `${counted(shared, "dead letter")} of shared queues in the broker: mprun dead list --shared ${quoted(this.file)}`);
    const rest = this.total - groups.reduce((sum, group) => sum + group.letters, 0);
    const others = groups.length >= MOST_GROUPS && rest > 0 && element("p", { class: "hint" }, `${counted(rest, "more letter")} in other groups: mprun dead list`);
    const none = !list && !elsewhere && element("p", {}, "There are no dead letters.");
    renew(this.body, ...[elsewhere, others, list, none].filter(Boolean));
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
        button("Retry", () => this.retry(group), { disabled: isReadOnly() }),
        button("Drop …", () => this.drop(group), { disabled: isReadOnly(), class: "danger" })),
      isOpen && element("ul", { class: "letters" }, ...await this.letters(group)));
  }

  async letters(group) {
    const letters = await get(`/v1/dead?group=${group.group}&most=20`).catch(() => []);
    return letters.map((letter) => element("li", {},
      element("p", { class: "hint" }, `Line ${letter.line}, ${moment(letter.time)}, from ${letter.queue || "no queue"}, tried ${letter.attempts === 1 ? "once" : `${letter.attempts} times`}, ${bytes(letter.bytes)}`),
      element("pre", { tabindex: 0, "aria-label": "Item", "data-act": `item ${letter.key}` }, letter.item.slice(0, 4096) + (letter.bytes > 4096 ? " …" : "")),
      letter.stderr.length > 0 && element("pre", { class: "words", tabindex: 0, "aria-label": "Last words", "data-act": `words ${letter.key}` }, letter.stderr.join("\n"))));
  }

  // Those that are there now: a letter that comes later, or again, was not meant.
  async keys(group) {
    const letters = await get(`/v1/dead?group=${group.group}&keys=true&most=${MOST_KEYS}`);
    return letters.map((letter) => letter.key);
  }

  async retry(group) {
    await this.each(group, "retry", "put back", () => true);
  }

  async drop(group) {
    const of = (count) => `${counted(count, "letter")} of ${group.stage}`;
    const question = (count) => this.confirm(`Drop ${of(count)} for good? ${count === 1 ? "Its item is" : "Their items are"} gone then.`);
    await this.each(group, "drop", "dropped", question);
  }

  // A few hundred at a time.
  async each(group, what, word, isMeant) {
    if (this.busy) return this.answer("The last retry or drop is not done yet.");
    this.busy = true;
    let [done, stay, why] = [0, 0, null];
    try {
      const keys = await this.keys(group);
      if (keys.length && !await isMeant(keys.length)) return;
      for (let at = 0; at < keys.length; at += BATCH) {
        const batch = keys.slice(at, at + BATCH);
        if (keys.length > BATCH) this.answer(`${number(done)} of ${number(keys.length)} ${word} …`);
        const said = await post(`/v1/dead/${what}`, { keys: batch });
        done += what === "retry" ? said.put : said.dropped;
        const refused = said.refused ?? [];
        [stay, why] = [stay + refused.length, why ?? refused[0]];
        // The rest would be refused as well.
        if (refused.length === batch.length) {
          stay += keys.length - at - batch.length;
          break;
        }
      }
      // Another tab or a command was there first.
      const missing = keys.length - done - stay;
      const gone = missing > 0 && `; ${number(missing)} ${missing === 1 ? "was" : "were"} not there any more`;
      const rest = stay && `; ${number(stay)} ${stay === 1 ? "stays" : "stay"}: ${why}`;
      const more = keys.length === MOST_KEYS && `; these were the oldest ${number(MOST_KEYS)}`;
      this.answer([`${number(done)} ${word}`, gone, rest, more].filter(Boolean).join(""));
    } catch (error) {
      this.answer(`${done ? `${number(done)} ${word}; then: ` : ""}${error.message}`);
    } finally {
      this.busy = false;
      this.show();
    }
  }

  close() {}
}
