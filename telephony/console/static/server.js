// The server that this page came from.

/** A reason that the person at the telephone can do something about. */
export class CallFailed extends Error {}

// With or without the process's name in front: `/i/<instance>/...`
const WEBHOOK = /\/(i\/[^/]+\/)?(incoming-call|after-stream|after-dial)$/
const STREAM = /\/(i\/[^/]+\/)?media-stream$/

export class Server {
  agents = {} // called number (empty: any) -> name
  model = ""
  number = null
  accountSid = null
  #publicUrl = null
  #root = new URL(location.pathname.replace(/(i\/[^/]+\/)?console\/phone\/?$/, ""), location)
  #base = new URL("console/phone/", this.#root)

  /** Ask who answers. Throws `CallFailed`. */
  async introduce() {
    const about = await (await this.fetch("about")).json()
    this.agents = about.agents
    this.model = about.model
    this.number = about.number
    this.accountSid = about.account_sid
    this.#publicUrl = about.public_url
    // Behind a proxy there may be several processes: from now on we speak with this one.
    this.#base = new URL(`i/${about.instance}/console/phone/`, this.#root)
  }

  /** Throws `CallFailed`. */
  async fetch(path, options = {}) {
    const headers = options.method ? { "X-Telephony-Console": "1" } : {}
    let response
    try {
      response = await fetch(new URL(path, this.#base), { headers, ...options })
    } catch {
      throw new CallFailed("The server does not answer. Is `telephony serve` running?")
    }
    if (!response.ok) {
      const text = await response.text()
      let message = text
      try {
        message = JSON.parse(text).error ?? text
      } catch { /* plain text */ }
      throw new CallFailed(message)
    }
    return response
  }

  /** Ask a webhook, which the server signs for us where it has to be signed. Throws `CallFailed`. */
  ask(address, form) {
    const url = new URL(address, this.#base)
    const [, instance, name] = url.pathname.match(WEBHOOK) ?? []
    const hosts = [this.#root.host, this.#publicUrl && new URL(this.#publicUrl).host]
    if (!name || !hosts.includes(url.host)) {
      throw new CallFailed(`the call goes on to ${url.href}, where a browser cannot follow`)
    }
    const base = instance ? new URL(`${instance}console/phone/`, this.#root) : this.#base
    return this.fetch(new URL(`webhook/${name}${url.search}`, base), { method: "POST", body: new URLSearchParams(form) })
  }

  /** Where to open the stream that the TwiML names: at its path, or, with a ticket, where a browser is let in. */
  streamUrl(address, call, ticket) {
    const [path, instance = ""] = new URL(address).pathname.match(STREAM) ?? []
    if (path === undefined) throw new CallFailed(`the media stream is at ${address}, where a browser cannot go`)
    const url = new URL(ticket ? `${instance}console/phone/media-stream` : `${instance}media-stream`, this.#root)
    if (ticket) url.search = new URLSearchParams({ call, ticket })
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:"
    return url
  }
}
