// A device plugin's registration with the kubelet, as a value, and what is to be done about it. A kubelet that
// starts makes its socket anew, and knows nothing of plugins that do not register again. Pure.

export interface Registration {
  /** The socket, as a file of its own, of the kubelet that took it; undefined for none. */
  readonly kubelet: string | undefined
  /** When it took the registration, in milliseconds of a monotonic clock. */
  readonly sinceMs: number
  /** It did not watch the list in time, and has until the next try. */
  readonly isDoubted: boolean
  /** That there is no kubelet was said since the last one took it. */
  readonly isMissed: boolean
}

export const UNREGISTERED: Registration = {
  kubelet: undefined,
  sinceMs: 0,
  isDoubted: false,
  isMissed: false,
}

/** What is seen of the kubelet now. */
export interface ObservedKubelet {
  readonly kubelet: string | undefined
  /** Whether one watches our list of devices. */
  readonly isWatched: boolean
  readonly nowMs: number
}

/** A kubelet that took a registration watches the list at once: within so many milliseconds. */
export const WATCH_MS = 2_000

export type RegistrationTodo =
  /** There is no kubelet, which has to be said, or was. */
  | 'say-missed'
  | 'await-kubelet'
  | 'register'
  /** It took the registration a moment ago. */
  | 'await-watch'
  /** It took it, and does not watch: it may only be slow. */
  | 'doubt'
  | 'rest'

export function judge(
  registration: Registration,
  { kubelet, isWatched, nowMs }: ObservedKubelet,
): readonly [Registration, RegistrationTodo] {
  if (kubelet === undefined)
    return [
      { ...UNREGISTERED, isMissed: true },
      registration.isMissed ? 'await-kubelet' : 'say-missed',
    ]
  if (registration.kubelet !== kubelet) return [registration, 'register']
  if (isWatched) return [{ ...registration, isDoubted: false }, 'rest']
  if (nowMs - registration.sinceMs < WATCH_MS) return [registration, 'await-watch']
  // A kubelet that loses our earlier connection just now closes the new one with it, unwatched (its runClient,
  // pkg/kubelet/cm/devicemanager/plugin/v1beta1/handler.go): nothing would ever tell us.
  if (registration.isDoubted) return [registration, 'register']
  return [{ ...registration, isDoubted: true }, 'doubt']
}

/** A kubelet took it. */
export function setRegistered(kubelet: string, nowMs: number): Registration {
  return { ...UNREGISTERED, kubelet, sinceMs: nowMs }
}

/** No kubelet knows of it any more: it has gone, or our socket is another. */
export function setUnregistered(registration: Registration): Registration {
  return { ...UNREGISTERED, isMissed: registration.isMissed }
}
