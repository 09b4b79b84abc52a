// A dialog with a few fields, and one action.

import { $, element, notice, show } from "./console.js"

/** `fields`: {name, label, type, options, pattern, required}. `run(values)` does the action; what it throws is shown. */
export function ask({ title, text, fields = [], action, danger = false, run }) {
  const dialog = $("ask")
  const form = dialog.querySelector("form")
  show($("ask-title"), title)
  $("ask-fields").replaceChildren(element("p", "", text), ...fields.map(field))
  show($("ask-do"), action)
  $("ask-do").className = danger ? "danger sure" : "primary"
  notice($("ask-problem"), "")
  form.onsubmit = async event => {
    if (event.submitter?.value !== "do") return
    event.preventDefault()
    $("ask-do").disabled = true
    try {
      await run(values(form, fields))
      dialog.close()
    } catch (error) {
      notice($("ask-problem"), error.message)
    } finally {
      $("ask-do").disabled = false
    }
  }
  dialog.showModal()
}

function field({ name, label, type = "text", options, pattern, required }) {
  const input = options ? element("select") : element("input")
  input.name = name
  if (options) input.append(...options.map(each => new Option(each, each)))
  else Object.assign(input, { type, autocomplete: "off", ...(pattern ? { pattern } : {}), ...(required ? { required } : {}) })
  return type === "checkbox" ? element("label", "", input, label) : element("label", "", label, input)
}

function values(form, fields) {
  return Object.fromEntries(fields.map(({ name, type }) => {
    const input = form.elements[name]
    return [name, type === "checkbox" ? input.checked : input.value.trim()]
  }))
}
