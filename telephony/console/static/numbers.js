// The configured numbers, read again every ten seconds. The page changes nothing.

import { $, element, get, notice, show } from "./console.js"

function cell(...content) {
  return element("td", "", ...content)
}

function row(number, models) {
  const state = number.open ? element("span", "tag good", "Open") : element("span", "tag", `Closed: ${number.why}`)
  const endpoints = number.models.map(name => models[name] && models[name] !== "closed" ? `${name} (fails)` : name)
  const heading = element("th", "number", number.number)
  heading.scope = "row"
  return element("tr", "", heading,
    cell(state), cell(number.agent), cell(number.languages.join(", ")), cell(number.steps.slice(1).join(", then ") || "–"),
    cell(number.closed.join(", then ")), cell(endpoints.join(", ")), cell(`${number.consent}, ${number.recording}`),
    cell(number.fallback_url || "Twilio's error"))
}

async function load() {
  try {
    const { numbers, models, file, problems } = await get("api/numbers")
    $("numbers").replaceChildren(...numbers.map(each => row(each, models)))
    $("nothing").hidden = numbers.length > 0
    document.querySelector(".scrolls").hidden = numbers.length === 0
    show($("found"), numbers.length ? `${numbers.length} numbers${file ? ` from ${file}` : ""}` : "")
    notice($("notice"), problems.length ? `The file was changed and has problems, so the old configuration stays: ${problems.join(" ")}` : "")
  } catch (error) {
    notice($("notice"), error.message)
  }
}

load()
setInterval(load, 10000)
