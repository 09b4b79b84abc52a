// G.711 mu-law (ITU-T G.711): 8 bits for 14, as the server's own codec does it to the bit.

const BIAS = 33
const CLIP = 8158

export const SILENCE = 0xff

function expand(code) {
  const bits = ~code & 0xff
  const magnitude = ((((bits & 0x0f) << 1) + BIAS) << (bits >> 4 & 7)) - BIAS
  return (bits & 0x80 ? -magnitude : magnitude) * 4
}

const LINEAR = Int16Array.from({ length: 256 }, (_, code) => expand(code))

/** A code as a 16-bit sample. */
export const decode = code => LINEAR[code]

/** A 16-bit sample as a code. */
export function encode(sample) {
  let value = sample >> 2
  const sign = value < 0 ? 0x80 : 0
  value = Math.min(sign ? -value : value, CLIP) + BIAS
  const segment = 26 - Math.clz32(value)
  return ~(sign | segment << 4 | value >> segment + 1 & 0x0f) & 0xff
}
