// What was seen of the kernel before a plan is made.

/** A network device as the agent's namespace shows it. */
export interface ObservedLink {
  readonly isUp: boolean
  readonly mtuBytes: number
  readonly alias: string
}

/** By device name; what is not in it does not exist. */
export type ObservedLinks = ReadonlyMap<string, ObservedLink>
