// A past call: its recording, with the timeline and the conversation in step.

import { $, clock, element, get, notice, show } from "./console.js"
import { Talk } from "./talk.js"

const audio = $("audio")
const count = (n, one, many) => n === 1 ? `1 ${one}` : `${n} ${many}`

export class PastCall {
  #timeline
  #talk

  constructor(timeline) {
    this.#timeline = timeline
    const move = () => this.#move(audio.currentTime)
    audio.addEventListener("timeupdate", move)
    audio.addEventListener("seeked", move)
    audio.addEventListener("play", function frame() {
      if (audio.paused || audio.ended) return
      move()
      requestAnimationFrame(frame)
    })
    audio.addEventListener("pause", keepMoment)
    audio.addEventListener("error", () => notice($("problem"), "The recording cannot be played. Reload the page to try again."))
    $("copy").addEventListener("click", copyLink)
  }

  /** Show a call from what the server knows of it. Playback begins at `from_s`, in seconds, when it is started. */
  async show(sid, { record, recording, no_recording, ended }, may, from_s) {
    document.body.classList.remove("follows")
    if (!recording) {
      $("timeline").hidden = $("conversation").hidden = true
      notice($("preparing"), no_recording ?? "There is no recording of this call.")
      return
    }
    const known = $("talk").childElementCount > 0 // of the live call, which this page has followed
    $("conversation").hidden = false
    $("silent").hidden = known
    show($("silent"), "The conversation is being prepared…")
    notice($("preparing"), known ? "The recording is being prepared." : "")
    let made
    try {
      made = await get(`api/calls/${sid}/timeline`)
    } catch (error) {
      notice($("problem"), error.message)
      $("conversation").hidden = !known
      return
    } finally {
      notice($("preparing"), "")
    }
    const length_s = record.duration_s ?? made.duration_ms / 1000
    $("timeline").hidden = false
    this.#talk = new Talk($("talk"), { onSeek: may.has("listen") ? ms => this.play(ms) : null })
    this.#talk.put(made.entries)
    const last = Math.max(made.duration_ms, ...made.entries.map(entry => entry.start_ms))
    if (ended) this.#talk.put([{ id: "end", type: "end", start_ms: last, label: clock(length_s), text: ended.sentence }])
    this.#timeline.set(made)
    describe(made.entries, length_s)
    this.#showInterruptions(made.entries)
    $("silent").hidden = made.entries.length > 0
    show($("silent"), "Nothing was said.")
    if (!may.has("listen")) return
    $("player").hidden = false
    // One entry in the audit for all requests of the player. `crypto.randomUUID` does not exist on pages over plain HTTP.
    const playback = Array.from(crypto.getRandomValues(new Uint8Array(4)), byte => byte.toString(16).padStart(2, "0")).join("")
    audio.src = new URL(`api/calls/${sid}/audio?${new URLSearchParams({ playback })}`, document.baseURI)
    if (from_s > 0) this.#seek(from_s)
  }

  /** Play the recording from a moment, in milliseconds. Without a recording nothing happens. */
  play(ms) {
    if (!audio.src) return
    this.#seek(ms / 1000)
    audio.play().catch(() => {})
  }

  #seek(seconds) {
    audio.currentTime = seconds
    this.#move(seconds)
  }

  #move(seconds) {
    this.#timeline.at = seconds * 1000
    this.#talk?.at(seconds * 1000)
  }

  /** Show buttons for the moments at which the caller interrupted the agent. */
  #showInterruptions(entries) {
    const place = document.querySelector(".interruptions")
    const found = entries.filter(entry => entry.type === "interruption" && ["caller", "digit"].includes(entry.cause))
    if (!place || !found.length) return
    place.classList.add("moments")
    place.replaceChildren(...found.map(entry => {
      const button = element("button", "plain", `at ${clock(entry.start_ms / 1000)}`)
      button.onclick = () => {
        this.play(Math.max(0, entry.start_ms - 2000))
        this.#talk.reveal(entry.id)
      }
      return button
    }))
  }
}

/** Describe the timeline in words, for screen readers. */
function describe(entries, length_s) {
  const n = type => entries.filter(entry => entry.type === type).length
  $("canvas").setAttribute("aria-label", `Timeline of the call, ${clock(length_s)} long: ${count(n("turn"), "turn", "turns")}, ` +
    `${count(n("interruption"), "interruption", "interruptions")}, ${count(n("tool"), "tool", "tools")}. The list below has all of them.`)
}

/** Put the moment of the recording into the address of the page, and return the address. */
function keepMoment() {
  const url = new URL(location.href)
  url.searchParams.set("t", audio.currentTime.toFixed(1))
  history.replaceState(null, "", url)
  return url
}

async function copyLink() {
  const url = keepMoment()
  for (const name of ["search", "audit"]) url.searchParams.delete(name)
  try {
    await navigator.clipboard.writeText(url.href)
    show($("copy"), "Copied")
  } catch {
    show($("copy"), "The link is in the address bar")
  }
  setTimeout(() => show($("copy"), "Copy link to this moment"), 2500)
}
