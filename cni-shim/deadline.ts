// A time limit for everything that the other side does. It pauses while it is our turn, and never restarts.

export interface Deadline {
  readonly pause: () => void
  readonly goOn: () => void
}

/** Starts. Calls isOver once the time is up. */
export function newDeadline(ms: number, isOver: () => void): Deadline {
  let leftMs = ms
  let since = 0
  let timer: NodeJS.Timeout | undefined
  const goOn = (): void => {
    since = performance.now()
    timer = setTimeout(isOver, leftMs)
  }
  const pause = (): void => {
    if (timer === undefined) return
    clearTimeout(timer)
    timer = undefined
    leftMs -= performance.now() - since
  }
  goOn()
  return { pause, goOn }
}
