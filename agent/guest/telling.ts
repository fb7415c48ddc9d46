// A VM's end whose guest is told of its cable, and how far that has come.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import type { Backoff } from '../../core/backoff.ts'
import type { CarrierShown } from '../../core/wire/wire.ts'

export interface Telling {
  readonly attachment: WireAttachment
  readonly show: (hasCarrier: boolean) => Promise<CarrierShown>
  wanted: boolean
  /** What the VM was told last; undefined when that is not known. */
  told: boolean | undefined
  /** Of the first change that is not told yet. */
  since: number | undefined
  timer: NodeJS.Timeout | undefined
  readonly backoff: Backoff
  /** Of the last try that failed. */
  reason: string | undefined
}
