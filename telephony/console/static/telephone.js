// The telephone in the hand: microphone and loudspeaker around the worklet.

import { CallFailed } from "./server.js"

export class Telephone {
  onmessage = () => {} // called with each message of the worklet
  #context
  #worklet
  #microphone
  #source
  #settings = {}
  #devices = { microphone: "", speaker: "" }

  /** Take it off the hook; returns what is wrong with the microphone, "" if nothing. Throws `CallFailed`. */
  async pickUp() {
    if (!isSecureContext) {
      throw new CallFailed("A browser gives its microphone to https addresses and to this machine (http://127.0.0.1) alone.")
    }
    this.#context = new AudioContext({ latencyHint: "interactive" })
    await this.#context.audioWorklet.addModule(new URL("worklet.js", import.meta.url))
    this.#worklet = new AudioWorkletNode(this.#context, "telephone", {
      channelCount: 1, channelCountMode: "explicit", outputChannelCount: [1],
    })
    this.#worklet.port.onmessage = ({ data }) => this.onmessage(data)
    this.#worklet.port.postMessage(this.#settings)
    this.#worklet.connect(this.#context.destination)
    const fault = await this.#openMicrophone()
    await this.#openSpeaker()
    await this.#context.resume()
    return fault
  }

  async #openMicrophone() {
    try {
      const wanted = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 }
      if (this.#devices.microphone) wanted.deviceId = { exact: this.#devices.microphone }
      this.#microphone = await navigator.mediaDevices.getUserMedia({ audio: wanted })
    } catch (error) {
      if (error.name === "NotAllowedError") {
        throw new CallFailed("The microphone is blocked. Allow it in the address bar of the browser, then call again.")
      }
      return `No microphone could be opened (${error.message}): the call goes on with silence from your side.`
    }
    this.#source = this.#context.createMediaStreamSource(this.#microphone)
    this.#source.connect(this.#worklet)
    return ""
  }

  async #openSpeaker() {
    if (!this.#context?.setSinkId) return
    await this.#context.setSinkId(this.#devices.speaker).catch(() => {}) // the device is gone: the default stays
  }

  /** Choose the devices, also during a call. */
  set devices(devices) {
    const before = this.#devices
    this.#devices = devices
    if (!this.#context || this.#context.state === "closed") return
    if (devices.speaker !== before.speaker) this.#openSpeaker()
    if (devices.microphone !== before.microphone) this.#changeMicrophone()
  }

  async #changeMicrophone() {
    this.#microphone?.getTracks().forEach(track => track.stop())
    this.#source?.disconnect()
    await this.#openMicrophone().catch(() => {})
  }

  /** {muted}, {loss}: kept for the time when it is picked up. */
  set(setting) {
    Object.assign(this.#settings, setting)
    this.command(setting)
  }

  /** {play}, {mark}, {clear}; {fresh}: another stream, so nothing is buffered, and positions count from 0. */
  command(command) {
    this.#worklet?.port.postMessage(command)
  }

  hangUp() {
    this.command({ over: true })
    this.#microphone?.getTracks().forEach(track => track.stop())
    this.#context?.close()
  }
}
