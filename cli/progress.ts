// A line on a terminal that says what takes its time, and goes when it is done. Standard error, so that
// what programs read stays clean; nothing at all where nobody looks.

import { toPrintable } from '../core/printable.ts'

const TICK_MS = 1000

export async function withProgress<T>(text: string, work: () => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work()
  const from = Date.now()
  const draw = (): void => {
    const seconds = Math.floor((Date.now() - from) / 1000)
    process.stderr.write(`\r\u001B[K${toPrintable(text)} …${seconds > 0 ? ` ${seconds} s` : ''}`)
  }
  draw()
  const timer = setInterval(draw, TICK_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    process.stderr.write('\r\u001B[K')
  }
}
