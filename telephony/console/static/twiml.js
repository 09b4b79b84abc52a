// What Twilio does with a document, verb by verb: https://www.twilio.com/docs/voice/twiml
//
// Which verb comes next is decided here. What it takes (a request, a stream, a voice) is the exchange's:
//   ask({url, form}) -> the document's text     answer()      the call is taken
//   stream({url, parameters})                   until it is over
//   dial({name, conference, seconds}) -> DialCallStatus
//   say(text)   play(url)   press(keys)   pause(seconds)   each until it is over
//   skip(text)                                  what a browser cannot do
//   gone                                        a promise that fails when the caller hangs up

import { CallFailed } from "./server.js"

/** Follow the document that this request is answered with, and those that it leads to; returns why the call is over. */
export async function follow(request, exchange) {
  for (let answered = false; ;) {
    const verbs = read(await Promise.race([exchange.ask(request), exchange.gone]))
    if (!answered && verbs[0]?.tagName !== "Reject") {
      exchange.answer()
      answered = true
    }
    const leave = await run(verbs, exchange)
    if (!leave.request) return leave.over
    request = leave.request
  }
}

async function run(verbs, exchange) {
  for (const verb of verbs) {
    const act = VERBS[verb.tagName]
    if (!act) exchange.skip(`The server asks Twilio for <${verb.tagName}>: a browser goes on without.`)
    const leave = await Promise.race([act?.(verb, exchange), exchange.gone])
    if (leave) return leave
  }
  return { over: "there is nothing more to do" }
}

function read(text) {
  const xml = text.trimStart().startsWith("<") ? new DOMParser().parseFromString(text, "text/xml") : null
  const response = xml?.documentElement
  if (response?.tagName !== "Response") throw new CallFailed("the server answers with something that is no TwiML (12100)")
  return [...response.children]
}

/** A verb returns where to leave its document for: {request} or {over: why}; nothing: on with the next verb. */
const VERBS = {
  async Connect(verb, exchange) {
    const stream = verb.querySelector("Stream")
    if (!stream) return exchange.skip("The server connects the call to something that is no stream.")
    const parameters = [...stream.querySelectorAll("Parameter")]
    await exchange.stream({
      url: stream.getAttribute("url"),
      parameters: Object.fromEntries(parameters.map(p => [p.getAttribute("name"), p.getAttribute("value")])),
    })
    return action(verb)
  },

  async Dial(verb, exchange) {
    const target = verb.firstElementChild ?? verb
    const status = await exchange.dial({
      name: target.textContent.trim(),
      conference: target.tagName === "Conference",
      seconds: Number(verb.getAttribute("timeout") ?? 30),
    })
    return action(verb, { DialCallStatus: status })
  },

  Say: (verb, exchange) => exchange.say(verb.textContent.trim()),
  Play: (verb, exchange) =>
    verb.hasAttribute("digits") ? exchange.press(verb.getAttribute("digits")) : exchange.play(verb.textContent.trim()),
  Pause: (verb, exchange) => exchange.pause(Number(verb.getAttribute("length") ?? 1)),
  Redirect: verb => ({ request: { url: verb.textContent.trim(), form: {} } }),
  Hangup: () => ({ over: "the agent hung up" }),
  Reject: verb => ({ over: verb.getAttribute("reason") === "busy" ? "the line is busy" : "the call was rejected" }),
  Enqueue: verb => ({ over: `the call would wait in the queue ${verb.textContent.trim()}; a browser cannot` }),
}

/** A verb with an `action` never comes back to its document. */
function action(verb, form = {}) {
  const url = verb.getAttribute("action")
  return url ? { request: { url, form } } : undefined
}
