// What was seen of the kernel before a plan is made.

/** A network device as the agent's namespace shows it. */
export interface ObservedLink {
  readonly isUp: boolean
  /** Of a veth: both its ends are up. */
  readonly hasCarrier: boolean
  readonly mtuBytes: number
  readonly alias: string
  /** Where what comes in is redirected, "*" for a device that is gone; undefined where nobody looked. */
  readonly redirects?: readonly string[] | undefined
}

/** By device name; what is not in it does not exist. */
export type ObservedLinks = ReadonlyMap<string, ObservedLink>
