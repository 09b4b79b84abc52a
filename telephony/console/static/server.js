// The server that this page came from.

/** A reason that the person at the telephone can do something about. */
export class CallFailed extends Error {}

export class Server {
  agents = {} // called number (empty: any) -> name
  model = ""
  number = null
  accountSid = null
  #root = new URL(location.pathname.replace(/console\/phone.*$/, ""), location)
  #base = new URL("console/phone/", this.#root)

  /** Ask who answers, with the bearer token that the server may want. Throws `CallFailed`. */
  async introduce(token) {
    this.token = token
    const told = await (await this.fetch("about")).json()
    this.agents = told.agents
    this.model = told.model
    this.number = told.number
    this.accountSid = told.account_sid
    // Behind a proxy there may be several processes: from now on we speak with this one.
    this.#base = new URL(`i/${told.instance}/console/phone/`, this.#root)
  }

  /** Throws `CallFailed`. */
  async fetch(path, options = {}) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {}
    let response
    try {
      response = await fetch(new URL(path, this.#base), { headers, ...options })
    } catch {
      throw new CallFailed("The server does not answer. Is `telephony serve` running?")
    }
    if (!response.ok) {
      const error = new CallFailed(await response.text())
      error.unauthorised = response.status === 401
      throw error
    }
    return response
  }

  /** Where to open the stream that the TwiML names: at its path, or, with a ticket, where a browser is let in. */
  streamUrl(twimlUrl, call, ticket) {
    const url = ticket ? new URL("media-stream", this.#base) : new URL(new URL(twimlUrl).pathname, location)
    if (ticket) url.search = new URLSearchParams({ call, ticket })
    url.protocol = location.protocol.replace("http", "ws")
    return url
  }
}
