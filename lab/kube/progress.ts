// Lines of progress with the seconds since the start.
import type { Say } from '../go-build.ts'

export function newProgress(): Say {
  const started = performance.now()
  return (line) => {
    const seconds = Math.round((performance.now() - started) / 1000)
    console.log(`${String(seconds).padStart(4)} s  ${line}`)
  }
}
