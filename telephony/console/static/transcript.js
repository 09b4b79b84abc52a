// What was said, as a list that grows and is corrected while people speak.

const WHO = { caller: "You", agent: "Agent", tool: "Tool", key: "Keypad", error: "Error", twilio: "Twilio", note: "" }

export class Transcript {
  #list
  #told
  #items = new Map() // line -> {item, state}

  /** `list` has the visible lines, `told` the lines for a screen reader. */
  constructor(list, told) {
    this.#list = list
    this.#told = told
    list.replaceChildren()
    told.replaceChildren()
  }

  /** Show the lines of a `Conversation`. */
  show(lines) {
    const list = this.#list
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40
    let changed = false
    for (const line of lines) {
      const shown = this.#items.get(line) ?? this.#add(line)
      const state = `${line.text}|${line.heard}|${line.cut}|${line.failed}|${line.done}|${line.detail}|${line.latencyMs}`
      if (shown.state === state) continue
      shown.state = state
      changed = true
      fill(shown.item, line)
      if (line.done && !shown.told) {
        shown.told = true
        this.#tell(`${WHO[line.kind]}: ${line.text}`)
      }
    }
    if (changed && atEnd) list.scrollTop = list.scrollHeight
  }

  note(message) {
    this.#list.append(element("li", "note", message))
    this.#tell(message)
  }

  #add(line) {
    const shown = { item: element("li", line.kind), state: "" }
    this.#items.set(line, shown)
    this.#list.append(shown.item)
    return shown
  }

  /** Each line once, when it is complete, and not word by word. */
  #tell(text) {
    this.#told.append(element("p", "", text))
  }
}

function fill(item, line) {
  const answered = line.latencyMs ? ` · after ${(line.latencyMs / 1000).toFixed(2)} s` : ""
  const text = element("span", "text")
  if (line.kind === "agent") {
    const end = line.text[line.heard] === " " ? line.heard + 1 : line.heard
    text.append(element("span", "heard", line.text.slice(0, end)), element("span", "rest", line.text.slice(end)))
  } else {
    text.textContent = line.text
  }
  item.classList.toggle("cut", line.cut)
  item.classList.toggle("failed", Boolean(line.failed))
  item.classList.toggle("done", line.done)
  item.replaceChildren(element("span", "who", WHO[line.kind] + answered), text)
  if (line.detail) item.append(element("span", "detail", line.detail))
}

export function element(tag, className, text = "") {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}
