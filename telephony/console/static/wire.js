// The media stream's messages, written and read as Twilio does.
// https://www.twilio.com/docs/voice/media-streams/websocket-messages, https://www.twilio.com/docs/api/errors/31951

export class Sender {
  #sequence = 0
  #chunk = 0

  constructor(streamSid, callSid, accountSid, customParameters) {
    this.streamSid = streamSid
    this.call = { accountSid, callSid }
    this.customParameters = customParameters
  }

  connected() {
    return JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" })
  }

  start() {
    return this.#message("start", {
      accountSid: this.call.accountSid,
      streamSid: this.streamSid,
      callSid: this.call.callSid,
      tracks: ["inbound"],
      mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 },
      customParameters: this.customParameters,
    })
  }

  media(timestampMs, ulaw) {
    return this.#message("media", {
      track: "inbound",
      chunk: String(++this.#chunk),
      timestamp: String(timestampMs),
      payload: btoa(String.fromCharCode(...ulaw)),
    })
  }

  dtmf(digit) {
    return this.#message("dtmf", { track: "inbound_track", digit })
  }

  mark(name) {
    return this.#message("mark", { name })
  }

  stop() {
    return this.#message("stop", this.call)
  }

  #message(event, body) {
    return JSON.stringify({ event, sequenceNumber: String(++this.#sequence), streamSid: this.streamSid, [event]: body })
  }
}

/** What Twilio would ignore, with the warning that it would report. */
export class Rejected extends Error {}

/** A command of the server's: {play: Uint8Array}, {mark: name} or {clear: true}. Throws `Rejected`. */
export function decode(text, streamSid) {
  if (typeof text !== "string") throw new Rejected("31950: a binary message")
  let message
  try {
    message = JSON.parse(text)
  } catch {
    throw new Rejected("31951: no JSON")
  }
  const event = message?.event
  if (!["media", "mark", "clear"].includes(event)) throw new Rejected(`31951: unknown event ${event}`)
  exactly(message, event === "clear" ? "event streamSid" : `event ${event} streamSid`)
  if (message.streamSid !== streamSid) throw new Rejected(`31951: ${event}: not this stream's streamSid`)
  if (event === "clear") return { clear: true }
  exactly(message[event], event === "mark" ? "name" : "payload")
  if (event === "mark") return { mark: message.mark.name }
  try {
    return { play: Uint8Array.from(atob(message.media.payload), c => c.charCodeAt(0)) }
  } catch {
    throw new Rejected("31951: media: no base64")
  }
}

function exactly(object, fields) {
  const got = Object.keys(object ?? {}).sort().join(" ")
  if (got !== fields) throw new Rejected(`31951: {${got}} instead of {${fields}}`)
}
