// What the configurations of both plugins have.
import type { Record_ } from '../record.ts'
import type { CniVersion } from './version.ts'

export interface CommonConfig {
  readonly cniVersion: CniVersion
  /** The network's name: the NAD's config name. */
  readonly name: string
  readonly prevResult: Record_ | undefined
  /** Keys we do not know, in order. */
  readonly unknownKeys: readonly string[]
}
