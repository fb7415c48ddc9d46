// How what a person starts on a terminal speaks, and how it is stopped.

const started = performance.now()

/** One line, with the seconds since the start before it. */
export function say(text: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6)
  console.log(`${seconds} s  ${text}`)
}

/** Rejects on Ctrl-C, so that what was set up is taken down as after any other failure. */
export async function waitForInterrupt(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        reject(new Error(`Interrupted by ${signal}`))
      })
  })
}
