// What a supervisor does in a live call: listening, taking over, hanging up, transferring, letting the agent say something.

import { $, Failed, act, notice, post, show } from "./console.js"
import { ask } from "./ask.js"
import { Listener } from "./listener.js"
import { TakeOver, refuseHaste } from "./take-over.js"

const KNOWN = {
  words: "The agent has the call again, and has your words.",
  note: "The agent has the call again, and has your note.",
  "nothing said": "The agent has the call again. It does not know what you said.",
  unknown: "The agent has the call again. It is not certain that the agent knows what you said.",
}
const TAKING_OVER = "Taking over… The caller does not hear you yet."
const ANNOUNCED_MS = 6000 // a command that was accepted is shown so long, until the call itself says more
const BUTTONS = ["listen", "take-over", "say", "transfer", "hang-up"]

export class Supervision {
  /** The address of the call, in the process that has it. */
  call = ""
  #targets = [] // the names of those to whom the caller can be transferred
  #listener
  #takeOver
  #isReady = false // the state of the call is known
  #isHeld = false // the supervisor speaks, and has to hear the caller
  #announcedUntil = 0

  constructor() {
    const onClick = (id, action) => $(id).addEventListener("click", action)
    onClick("listen", () => act($("listen"), () => this.#listen($("listen").getAttribute("aria-pressed") !== "true")))
    onClick("take-over", () => act($("take-over"), () => this.#startTakeOver()))
    onClick("transfer", () => act($("transfer"), async () => this.#askTarget()))
    onClick("say", () => this.#askWords())
    onClick("hang-up", () => this.#askHangUp())
    addEventListener("pagehide", () => {
      this.#listener?.stop()
      this.#takeOver?.leave()
    })
  }

  /** Show the buttons that the person will have, before anything is known of the call. `may` has the scopes. */
  expect(may) {
    this.#isReady = false
    for (const id of BUTTONS) {
      $(id).disabled = true
      $(id).hidden = !may.has(id === "listen" ? "listen" : "control")
    }
    $("actions").hidden = !(may.has("listen") || may.has("control"))
  }

  /** Show the actions that the person may take now. `may` has the scopes of the person. */
  show(call, targets, may) {
    this.#targets = targets
    if (!this.#isReady) for (const id of BUTTONS) $(id).disabled = false
    this.#isReady = true
    $("actions").hidden = call.over || !(may.has("listen") || may.has("control"))
    this.#takeOver?.transcribes(call.transcribes)
    this.#hold()
    if (call.transferring) this.#announce(transferring(call.transferring), 0)
    else if (performance.now() > this.#announcedUntil) this.#announce("", 0)
    $("take-over").disabled = call.taken_over && document.activeElement !== $("take-over") // it would lose the focus
    $("say").disabled = call.taken_over
  }

  /** End listening and speaking, because the call is over. */
  stop() {
    this.#listener?.stop()
    this.#takeOver?.stop()
    notice($("taken-state"), "")
    this.#announce("", 0)
    $("actions").hidden = true
  }

  /** Say what is being done, at least for `forMs`. */
  #announce(text, forMs = ANNOUNCED_MS) {
    this.#announcedUntil = performance.now() + forMs
    notice($("doing"), text)
  }

  /** While the supervisor speaks, the listening cannot be stopped. */
  #hold() {
    const held = Boolean(this.#takeOver && this.#listener)
    if (held === this.#isHeld) return
    this.#isHeld = $("listen").disabled = held
    show($("listen"), held ? "Listening" : this.#listener ? "Stop listening" : "Listen")
  }

  async #listen(on) {
    this.#listener?.stop()
    this.#listener = null
    if (on) {
      const listening = new Listener(this.#socket("listen"), why => {
        notice($("problem"), why)
        if (this.#listener === listening) this.#listen(false)
      })
      listening.callerOnly = Boolean(this.#takeOver)
      await listening.start()
      this.#listener = listening
    }
    $("listen").setAttribute("aria-pressed", on)
    show($("listen"), on ? "Stop listening" : "Listen")
  }

  async #startTakeOver() {
    if (this.#takeOver) return
    notice($("taken-state"), TAKING_OVER)
    this.#takeOver = new TakeOver(this.#socket("take-over"), $("taken"), {
      state: text => notice($("taken-state"), text),
      over: (known, why) => this.#endTakeOver(known, why),
    })
    try {
      await this.#takeOver.start()
    } catch (error) {
      this.#takeOver = null
      notice($("taken-state"), "")
      throw error
    }
    if (this.#listener) this.#listener.callerOnly = true
    else if (!$("listen").hidden) await this.#listen(true)
    this.#hold()
  }

  /** `known`: what the agent knows, if the call was handed back. */
  #endTakeOver(known, why) {
    const hadFocus = document.activeElement === document.body // it was in the panel, which is gone
    this.#takeOver = null
    if (this.#listener) this.#listener.callerOnly = false
    notice($("problem"), why)
    notice($("taken-state"), known && !why ? `${KNOWN[known] ?? KNOWN.unknown} The caller no longer hears you.` : "")
    this.#hold()
    $("take-over").disabled = false
    refuseHaste($("take-over"))
    if (hadFocus) $("take-over").focus()
  }

  #askTarget() {
    if (!this.#targets.length) throw new Failed("This agent has nobody to transfer to. A developer adds targets with the tool `transfer`.")
    ask({
      title: "Transfer the caller",
      text: "The caller leaves the agent. If the other person does not answer, the caller comes back to the agent.",
      fields: [{ name: "target", label: "To whom", options: this.#targets },
        { name: "warm", label: "Ask the other person first, while the caller hears music", type: "checkbox" }],
      action: "Transfer",
      run: async values => {
        await post(`${this.call}/transfer`, values)
        this.#announce(transferring(values.target))
      },
    })
  }

  #askWords() {
    ask({
      title: "Let the agent say something",
      text: "The agent says this to the caller in its own voice.",
      fields: [{ name: "words", label: "Words for the caller", required: true }],
      action: "Say it",
      run: values => post(`${this.call}/say`, values),
    })
  }

  #askHangUp() {
    ask({
      title: "Hang up?",
      text: "The call ends at once, and the caller hears nothing more.",
      action: "Hang up",
      danger: true,
      run: async () => {
        await post(`${this.call}/hang-up`)
        this.#announce("The call is being ended.")
      },
    })
  }

  #socket(path) {
    const url = new URL(`${this.call}/${path}`, document.baseURI)
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
    return url
  }
}

const transferring = target => `The caller is being transferred to ${target}.`
