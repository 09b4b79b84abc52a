// What a supervisor does in a live call: listening, taking over, hanging up, transferring, letting the agent say something.

import { $, Failed, act, notice, post, show } from "./console.js"
import { ask } from "./ask.js"
import { Listener } from "./listener.js"
import { TakeOver, refuseHaste } from "./take-over.js"

export class Supervision {
  /** The address of the call, in the process that has it. */
  call = ""
  #targets = [] // the names of those to whom the caller can be transferred
  #listener
  #takeOver

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

  /** Show the actions that the person may take now. `may` has the scopes of the person. */
  show(call, targets, may) {
    this.#targets = targets
    $("actions").hidden = call.over || !(may.has("listen") || may.has("control"))
    $("listen").hidden = !may.has("listen")
    this.#takeOver?.transcribes(call.transcribes)
    $("listen").classList.toggle("away", Boolean(this.#takeOver && this.#listener)) // the supervisor has to hear the caller
    for (const id of ["take-over", "say", "transfer", "hang-up"]) $(id).hidden = !may.has("control")
    $("take-over").disabled = call.taken_over && document.activeElement !== $("take-over") // it would lose the focus
    $("say").disabled = call.taken_over
  }

  /** End listening and speaking, because the call is over. */
  stop() {
    this.#listener?.stop()
    this.#takeOver?.stop()
    notice($("taken-state"), "")
    $("actions").hidden = true
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
    this.#takeOver = new TakeOver(this.#socket("take-over"), $("taken"), {
      state: text => notice($("taken-state"), text),
      over: (handedBack, why) => this.#endTakeOver(handedBack, why),
    })
    try {
      await this.#takeOver.start()
    } catch (error) {
      this.#takeOver = null
      throw error
    }
    if (this.#listener) this.#listener.callerOnly = true
    else if (!$("listen").hidden) await this.#listen(true)
  }

  #endTakeOver(handedBack, why) {
    const hadFocus = document.activeElement === document.body // it was in the panel, which is gone
    this.#takeOver = null
    if (this.#listener) this.#listener.callerOnly = false
    notice($("problem"), why)
    notice($("taken-state"), handedBack && !why ? "You handed the call back. The caller no longer hears you." : "")
    $("listen").classList.remove("away")
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
      run: values => post(`${this.call}/transfer`, values),
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
      run: () => post(`${this.call}/hang-up`),
    })
  }

  #socket(path) {
    const url = new URL(`${this.call}/${path}`, document.baseURI)
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:"
    return url
  }
}
