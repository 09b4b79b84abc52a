// The rows of names and values that travel as a stream's <Parameter>s.

export class Parameters {
  #rows
  #template

  constructor(rows, template, addButton) {
    this.#rows = rows
    this.#template = template
    addButton.addEventListener("click", () => this.#add().querySelector("input").focus())
    this.#add()
  }

  /** {name: value} of the rows that have a name. */
  get value() {
    const pairs = [...this.#rows.children].map(row => [...row.querySelectorAll("input")].map(input => input.value.trim()))
    return Object.fromEntries(pairs.filter(([name]) => name))
  }

  #add() {
    const row = this.#template.content.firstElementChild.cloneNode(true)
    row.querySelector("button").addEventListener("click", () => row.remove())
    this.#rows.append(row)
    return row
  }
}
