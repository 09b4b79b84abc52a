// The filters of a list: a form whose fields are in the address of the page.

import { show } from "./console.js"

const PAUSE_MS = 80 // after a key, before the list is asked for

const QUICK_MS = 150 // a quicker search does not hide the list before

/** A list that is searched: the page says so, and does not show a list that belongs to other filters. */
export class Searching {
  #list
  #found
  #timer

  /** `list` has the attribute `aria-busy` from the beginning, because the first search begins with the page. */
  constructor(list, found) {
    this.#list = list
    this.#found = found
  }

  begins() {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#list.setAttribute("aria-busy", "true")
      show(this.#found, "Searching…")
    }, QUICK_MS)
  }

  ends() {
    clearTimeout(this.#timer)
    this.#list.removeAttribute("aria-busy")
    if (this.#found.textContent === "Searching…") show(this.#found, "")
  }
}

export class Filters {
  #form
  #names

  /** `changed()` is called after a change. Values in the address are filled in. */
  constructor(form, names, changed) {
    this.#form = form
    this.#names = names
    const asked = new URLSearchParams(location.search)
    for (const name of names) {
      const value = asked.get(name)
      if (!value) continue
      const field = form.elements[name]
      if (field.tagName === "SELECT" && ![...field.options].some(option => option.value === value)) {
        field.append(new Option(value, value))
        field.dataset.asked = "1"
      }
      field.value = value
    }
    let timer
    form.addEventListener("input", () => {
      clearTimeout(timer)
      timer = setTimeout(() => this.#changed(changed), PAUSE_MS)
    })
    form.addEventListener("submit", event => {
      event.preventDefault()
      clearTimeout(timer)
      this.#changed(changed)
    })
  }

  /** The fields that are filled in. */
  query() {
    return new URLSearchParams(this.#names.map(name => [name, this.#form.elements[name].value.trim()]).filter(([, value]) => value))
  }

  /** Fill a selection once with `[value, label]` pairs, and keep the chosen value. */
  choices(name, pairs) {
    const select = this.#form.elements[name]
    if (select.options.length > 1 + (select.dataset.asked ? 1 : 0)) return
    const { value } = select
    select.append(...pairs.filter(([key]) => key !== value).map(([key, label]) => new Option(label, key)))
    for (const option of select.options) option.text = pairs.find(([key]) => key === option.value)?.[1] ?? option.text
  }

  #changed(then) {
    const query = this.query()
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`)
    then()
  }
}
