// The voice of Twilio's <Say>: one of this machine's own, so that no text leaves it; else time to read what is shown.

const READ_S = 0.05 // a letter
const KEY_S = 0.25

/** Until it was said, or could have been read. */
export function say(text) {
  const voice = window.speechSynthesis?.getVoices().find(voice => voice.localService)
  if (!voice) return pause(Math.min(6, text.length * READ_S))
  return new Promise(done => {
    const utterance = Object.assign(new SpeechSynthesisUtterance(text), { voice, onend: done, onerror: done })
    speechSynthesis.speak(utterance)
  })
}

export const hush = () => window.speechSynthesis?.cancel()

export const pause = seconds => new Promise(done => setTimeout(done, seconds * 1000))

/** How long `<Play digits>` takes: `w` is half a second, `W` a second. */
export const keysSeconds = keys => [...keys].reduce((sum, key) => sum + ({ w: 0.5, W: 1 }[key] ?? KEY_S), 0)
