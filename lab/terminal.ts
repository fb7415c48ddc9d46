// Output and interruption of programs that a person starts on a terminal.

const started = performance.now()

/** Prints one line, with the seconds since the start before it. */
export function say(text: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6)
  console.log(`${seconds} s  ${text}`)
}

/** Rejects on Ctrl-C, so that the set-up is removed as after any other failure. */
export async function waitForInterrupt(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        reject(new Error(`Interrupted by ${signal}`))
      })
  })
}
