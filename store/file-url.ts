// The URL of a file store, as every command line takes it.
import { DecodeError } from '../core/errors.ts'

/** The folder of a file:///DIR URL. Throws DecodeError. */
export function decodeFileUrl(store: string | undefined): string {
  const folder = /^file:\/\/(\/.+)$/.exec(store ?? '')?.[1]
  if (folder === undefined) throw new DecodeError('--store', store, 'file:///DIR')
  try {
    return decodeURIComponent(folder)
  } catch (cause) {
    throw new DecodeError('--store', store, 'file:///DIR', { cause })
  }
}
