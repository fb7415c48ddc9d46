// The life of a VM's DHCP server as a value: why we end it, and how it starts again. Pure.

/** Why its client gets no address: a lease in the server's file blocks it, or it declined the one address. */
export type Stuck = 'given-away' | 'declined'

export interface ServerLife {
  /** Why we end it, to start it again; undefined unless we do. */
  readonly ending: 'for-client' | 'sandbox-away' | undefined
  /** A lease in its file blocks its client: it starts without that file. */
  readonly isToForget: boolean
  /** When we last ended it for its client's sake, in milliseconds of a monotonic clock. */
  readonly endedForClientMs: number
}

export const NEW_LIFE: ServerLife = {
  ending: undefined,
  isToForget: false,
  endedForClientMs: -Infinity,
}

/** The shortest time between two restarts for the client's sake. */
const APART_MS = 5_000
/** A server that ran for longer than this counts as having started well. */
const STABLE_MS = 30_000

/** Its client gets no address. Returns in how many milliseconds to end the server. */
export function setStuck(
  life: ServerLife,
  why: Stuck,
  nowMs: number,
): readonly [ServerLife, number] {
  const isToForget = life.isToForget || why === 'given-away'
  const inMs = Math.max(0, life.endedForClientMs + APART_MS - nowMs)
  return [{ ...life, isToForget }, inMs]
}

export function setEndingForClient(life: ServerLife, nowMs: number): ServerLife {
  return { ...life, ending: 'for-client', endedForClientMs: nowMs }
}

export function setSandboxAway(life: ServerLife): ServerLife {
  return { ...life, ending: life.ending ?? 'sandbox-away' }
}

/** Its lease file is removed. */
export function setForgotten(life: ServerLife): ServerLife {
  return { ...life, isToForget: false }
}

export interface Ended {
  readonly why: Stuck | 'sandbox-away' | 'by-itself'
  /** When to start it again: at once, as after a first failure, or later with each failure. */
  readonly restart: 'at-once' | 'afresh' | 'backing-off'
}

/** It ended after running for so many milliseconds. */
export function setEnded(life: ServerLife, ranMs: number): readonly [ServerLife, Ended] {
  const { ending, isToForget } = life
  const ended: Ended =
    ending === 'for-client'
      ? { why: isToForget ? 'given-away' : 'declined', restart: 'at-once' }
      : { why: ending ?? 'by-itself', restart: ranMs > STABLE_MS ? 'afresh' : 'backing-off' }
  return [{ ...life, ending: undefined }, ended]
}
